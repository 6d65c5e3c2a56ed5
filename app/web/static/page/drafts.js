// @ts-check
/**
 * Unsubmitted answers. They are sent soon after each change, and stored in this browser too: drafts are not
 * acknowledged, a participant may type offline, and the server keeps one for the current step only.
 */

import { sendProblem } from "../client/strict-json.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Session} Session
 */

const PREFIX = "stepkeep:drafts:";
const SEND_DELAY_MS = 500;
const FRESH_MS = 60_000; // the server saves a draft at most 30 s after its change; twice that to be safe

/** @typedef {{value: Json, changedAtMs: number, isSent: boolean, isSubmitted?: boolean}} Draft */

/**
 * Return the owners of drafts in this browser, "survey participant".
 *
 * @returns {string[] | null} null if storage is forbidden
 */
export function draftOwners() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    return keys.map((key) => key.slice(PREFIX.length));
  } catch {
    return null;
  }
}

/**
 * Whether the survey was restarted between two sessions.
 *
 * @param {Session} before
 * @param {Session} session
 */
export function isRestarted(before, session) {
  return Object.keys(session.answers).length === 0 && Object.keys(before.answers).length > 0;
}

export class Drafts {
  /** @type {Record<string, Draft>} by step */
  #drafts = Object.create(null); // without a prototype: a step may be called "constructor"
  /** @type {string | null} the step whose draft has to be sent */
  #unsent = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #key;
  #send;
  #onChange;

  /**
   * @param {string} surveyId
   * @param {string} userId
   * @param {(step: string, value: Json) => boolean} send returns whether the draft was sent
   * @param {() => void} onChange called when `hasUnsent` may have changed
   */
  constructor(surveyId, userId, send, onChange) {
    this.#key = `${PREFIX}${surveyId} ${userId}`;
    this.#send = send;
    this.#onChange = onChange;
    this.#drafts = this.#read();
  }

  get hasUnsent() {
    return this.#unsent !== null;
  }

  /**
   * Store a changed input, and send it after a short delay.
   *
   * @param {string} step
   * @param {Json} value
   */
  change(step, value) {
    this.#drafts = this.#read(); // another tab may have written
    this.#drafts[step] = { value, changedAtMs: Date.now(), isSent: false };
    this.#markUnsent(step, value);
    this.#write();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), SEND_DELAY_MS);
    this.#onChange();
  }

  /** Send the unsent draft without a delay. */
  flush() {
    clearTimeout(this.#timer);
    const step = this.#unsent;
    const draft = step === null ? undefined : this.#drafts[step];
    if (step === null || draft === undefined || !this.#send(step, draft.value)) return;
    draft.isSent = true;
    this.#unsent = null;
    this.#save();
  }

  /**
   * Mark the draft as submitted: it stays stored until the answer is committed, but must not be sent after it.
   *
   * @param {string} step
   */
  markSubmitted(step) {
    clearTimeout(this.#timer);
    this.#unsent = null;
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    if (draft !== undefined) draft.isSubmitted = true;
    this.#save();
  }

  /**
   * Discard the draft of a committed answer, unless it was changed after that answer was submitted.
   *
   * @param {string} step
   */
  discard(step) {
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    if (draft === undefined || (!draft.isSent && draft.isSubmitted !== true)) return;
    if (this.#unsent === step) this.#unsent = null;
    delete this.#drafts[step];
    this.#save();
  }

  /**
   * Discard the drafts of steps whose answers changed, on any device, and all drafts after a restart. Predicted answers
   * discard none: the draft is one more copy of an answer that isn't saved yet.
   *
   * @param {Session | null} before
   * @param {Session | null} session
   */
  follow(before, session) {
    if (before === null || session === null) return;
    if (isRestarted(before, session)) this.discardAll();
    for (const [step, value] of Object.entries(session.answers)) {
      if (JSON.stringify(before.answers[step]) !== JSON.stringify(value)) this.discard(step);
    }
  }

  get isEmpty() {
    return Object.keys(this.#drafts).length === 0;
  }

  discardAll() {
    clearTimeout(this.#timer);
    this.#unsent = null;
    this.#drafts = Object.create(null);
    this.#save();
  }

  /**
   * Return what a step shows when it comes into view: this browser's draft while the server may not have it, else the
   * server's draft, the answer, an older draft of this browser, or the survey's default.
   *
   * @param {import("../client/protocol.js").Step} step
   * @param {Session} session
   * @returns {Json}
   */
  initialValue({ id: step, default: standard = null }, session) {
    this.#drafts = this.#read();
    const draft = this.#drafts[step];
    const answer = Object.hasOwn(session.answers, step) ? session.answers[step] : undefined;
    if (draft?.isSubmitted && answer !== undefined) return withHidden(answer, draft.value); // not committed yet
    const isNewest = draft && (!draft.isSent || Date.now() - draft.changedAtMs < FRESH_MS);
    if (isNewest && !draft.isSent) this.#markUnsent(step, draft.value);
    if (isNewest) return draft.value;
    return session.draft ?? answer ?? draft?.value ?? (answer === undefined ? standard : null);
  }

  /**
   * What the server would refuse stays in this browser only.
   *
   * @param {string} step
   * @param {Json} value
   */
  #markUnsent(step, value) {
    this.#unsent = sendProblem({ type: "draft", step, value }) === null ? step : null;
  }

  #save() {
    this.#write();
    this.#onChange();
  }

  /** @returns {Record<string, Draft>} */
  #read() {
    try {
      const stored = JSON.parse(localStorage.getItem(this.#key) ?? "{}");
      return Object.assign(Object.create(null), typeof stored === "object" ? stored : null);
    } catch {
      return this.#drafts; // storage is forbidden
    }
  }

  #write() {
    try {
      if (Object.keys(this.#drafts).length === 0) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, JSON.stringify(this.#drafts));
    } catch {
      // forbidden or full: the draft is in this page, and on the server once sent
    }
  }
}

/**
 * Return a submitted answer; that of a page with what was entered in the fields that it leaves out.
 *
 * @param {any} answer
 * @param {any} draft
 * @returns {Json}
 */
export function withHidden(answer, draft) {
  const isPage = [answer, draft].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
  return isPage ? { ...draft, ...answer } : answer;
}
