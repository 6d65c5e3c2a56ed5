// @ts-check
/**
 * Half-typed answers: sent to the server soon after each change, and kept in this browser too, because
 * a draft is not acknowledged, a person may type while offline, and the server has one for the current
 * step only.
 */

/** @typedef {import("../client/protocol.js").Json} Json */

const SEND_AFTER_MS = 500; // long enough to span a word, short enough for an impatient tab closer
const FRESH_MS = 60_000; // the server saves a draft within 30 s of its change; twice that, to be sure

/** @typedef {{value: Json, changedAtMs: number, isSent: boolean, isGiven?: boolean}} Draft isGiven: as an answer */

export class Drafts {
  /** @type {Record<string, Draft>} the drafts by step */
  #drafts = Object.create(null); // a step may be called constructor
  /** @type {string | null} the step whose draft is to be sent */
  #unsent = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #key;
  #send;
  #changed;

  /**
   * @param {string} surveyId
   * @param {string} userId
   * @param {(step: string, value: Json) => boolean} send whether the draft went out
   * @param {() => void} changed called when `isUnsent` may have changed
   */
  constructor(surveyId, userId, send, changed) {
    this.#key = `stepkeep:drafts:${surveyId} ${userId}`;
    this.#send = send;
    this.#changed = changed;
    this.#drafts = this.#read();
  }

  get isUnsent() {
    return this.#unsent !== null;
  }

  /**
   * The participant changed the answer of the step.
   *
   * @param {string} step
   * @param {Json} value
   */
  touch(step, value) {
    this.#drafts = this.#read(); // another tab may have written since
    this.#drafts[step] = { value, changedAtMs: Date.now(), isSent: false };
    this.#unsent = step;
    this.#write();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), SEND_AFTER_MS);
    this.#changed();
  }

  /** Send what is unsent, now. */
  flush() {
    clearTimeout(this.#timer);
    const step = this.#unsent;
    const draft = step === null ? undefined : this.#drafts[step];
    if (step === null || draft === undefined || !this.#send(step, draft.value)) return;
    draft.isSent = true;
    this.#unsent = null;
    this.#settle();
  }

  /**
   * The answer is on its way as a command: it stays here, but no draft may follow it.
   *
   * @param {string} step
   */
  hold(step) {
    clearTimeout(this.#timer);
    this.#unsent = null;
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    if (draft !== undefined) draft.isGiven = true;
    this.#settle();
  }

  /**
   * The step's draft is of no use any more: an answer was committed. What was typed since that answer was
   * given, and nobody else has, stays.
   *
   * @param {string} step
   */
  forget(step) {
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    if (draft === undefined || (!draft.isSent && draft.isGiven !== true)) return;
    if (this.#unsent === step) this.#unsent = null;
    delete this.#drafts[step];
    this.#settle();
  }

  /** The walk is over, or begins anew. */
  forgetAll() {
    clearTimeout(this.#timer);
    this.#unsent = null;
    this.#drafts = Object.create(null);
    this.#settle();
  }

  /**
   * What a step that comes into view shows: this browser's draft where the server can't have it or may
   * not have saved it yet, else the server's, else the answer, else whatever was once typed here.
   *
   * @param {string} step
   * @param {import("../client/protocol.js").Session} session
   * @returns {Json}
   */
  shownValue(step, session) {
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    const answer = Object.hasOwn(session.answers, step) ? session.answers[step] : undefined;
    if (draft?.isGiven && answer !== undefined) return answer; // it waits to be saved
    const isNewest = draft && (!draft.isSent || Date.now() - draft.changedAtMs < FRESH_MS);
    if (isNewest && !draft.isSent) this.#unsent = step;
    if (isNewest) return draft.value;
    return session.draft ?? answer ?? draft?.value ?? null;
  }

  #settle() {
    this.#write();
    this.#changed();
  }

  /** @returns {Record<string, Draft>} */
  #read() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
      return Object.assign(Object.create(null), typeof kept === "object" ? kept : null);
    } catch {
      return this.#drafts; // storage is forbidden here
    }
  }

  #write() {
    try {
      if (Object.keys(this.#drafts).length === 0) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, JSON.stringify(this.#drafts));
    } catch {
      // storage is forbidden or full: the draft lives in this page, and on the server once sent
    }
  }
}
