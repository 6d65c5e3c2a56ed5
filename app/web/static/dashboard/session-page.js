// @ts-check
/** The page of one session: what happened and when, and how the session was at any version. */

import { byId, make } from "../dom.js";
import { EventList } from "./event-list.js";
import { Live } from "./auto-refresh.js";
import { moment, share, span } from "./format.js";
import { PAGE, RecordedSession } from "./session-api.js";
import { NOTHING, actionWords, answerWords, asThen, changesBetween, modeWords, statusWords, stepWords } from "./session-text.js";

/**
 * @typedef {import("./session-api.js").State} State
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 * @typedef {import("../client/protocol.js").Step} Step
 */

const EVERY_MS = 30_000;
const STILL_MS = 120; // a slider that moves on is not asked about

class Timeline {
  /** @type {Map<string, Step>} */
  #steps = new Map();
  #newest = 0;
  #version = 0;
  #asking = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #moving;
  #slider = /** @type {HTMLInputElement} */ (byId("version"));
  #events = new EventList((version) => void this.#travel(version));
  #session;

  constructor() {
    const { root = "", surveyId = "", userId = "" } = byId("timeline").dataset;
    this.#session = new RecordedSession(root, surveyId, userId);
    this.#slider.addEventListener("input", () => this.#move());
    this.#onClick("first", () => 1);
    this.#onClick("earlier", () => this.#version - 1);
    this.#onClick("later", () => this.#version + 1);
    this.#onClick("last", () => this.#newest);
    this.#onClick("events-before", () => (this.#page - 1) * PAGE + 1);
    this.#onClick("events-after", () => (this.#page + 1) * PAGE + 1);
    addEventListener("hashchange", () => void this.#travel(versionInAddress() ?? this.#newest));
    void this.#open();
  }

  async #open() {
    this.#steps = await this.#session.steps();
    await new Live(EVERY_MS, (signal) => this.#refresh(signal)).refresh();
  }

  get #page() {
    return Math.floor((this.#version - 1) / PAGE);
  }

  /** @param {string} id @param {() => number} version */
  #onClick(id, version) {
    byId(id).addEventListener("click", () => void this.#travel(version()));
  }

  #move() {
    clearTimeout(this.#moving);
    this.#moving = setTimeout(() => void this.#travel(Number(this.#slider.value)), STILL_MS);
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    const state = await this.#session.now(signal);
    const wasAtTheEnd = this.#version === this.#newest;
    const isFirst = this.#newest === 0;
    const hasGrown = state.version !== this.#newest;
    this.#newest = state.version;
    this.#slider.max = String(state.version);
    this.#showFacts(state);
    if (isFirst) await this.#travel(versionInAddress() ?? state.version);
    else if (hasGrown) await this.#travel(wasAtTheEnd ? state.version : this.#version);
  }

  /** @param {number} asked */
  async #travel(asked) {
    const version = Math.min(Math.max(1, asked), this.#newest);
    clearTimeout(this.#moving);
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#version = version;
    this.#slider.value = String(version);
    history.replaceState(null, "", version === this.#newest ? location.pathname : `#${version}`);
    try {
      const [before, after, events] = await Promise.all([
        version === 1 ? null : this.#session.at(version - 1, signal),
        this.#session.at(version, signal),
        this.#session.events(this.#page, signal),
      ]);
      if (!signal.aborted) this.#show(before, after, events);
    } catch (error) {
      if (signal.aborted) return;
      byId("at").textContent = error instanceof Error ? error.message : "This did not work.";
    }
  }

  /** @param {State | null} stateBefore @param {State} state @param {HistoryEvent[]} events */
  #show(stateBefore, state, events) {
    const before = stateBefore && asThen(stateBefore, this.#newest, events);
    const after = asThen(state, this.#newest, events);
    this.#events.show(events, this.#page, this.#version, this.#newest, this.#steps);
    const at = events.findIndex((event) => event.version === this.#version);
    const event = events[at];
    const pause = event && at > 0 ? `, ${span(secondsBetween(events[at - 1], event))} after the event before` : "";
    const words = `Version ${this.#version} of ${this.#newest}${event ? `: ${actionWords(event)}, ${moment(event.timestamp)} UTC${pause}` : ""}`;
    byId("at").textContent = words;
    this.#slider.setAttribute("aria-valuetext", words);
    for (const id of ["first", "earlier"]) this.#setDisabled(id, this.#version === 1);
    for (const id of ["later", "last"]) this.#setDisabled(id, this.#version === this.#newest);
    this.#showChanges(before, after);
    this.#showState(after);
  }

  /** @param {State | null} before @param {State} after */
  #showChanges(before, after) {
    const changes = changesBetween(before, after, this.#steps);
    if (changes.length === 0) {
      byId("changes").replaceChildren(make("p", { class: "hint" }, "Nothing that is shown here."));
      return;
    }
    const rows = changes.map(({ what, before: old, after: now }) =>
      make("div", {}, make("dt", {}, what), make("dd", {}, ...(old === NOTHING ? [] : [make("del", {}, old), " → "]), make("ins", {}, now))),
    );
    byId("changes").replaceChildren(make("dl", { class: "changes" }, ...rows));
  }

  /** @param {State} state */
  #showState(state) {
    const facts = [
      ["Step", stepWords(state.current_step)],
      ["Status", statusWords(state)],
      ["Mode", modeWords(state)],
      ["Half-typed", answerWords(state.draft)],
    ];
    const answers = Object.entries(state.answers).map(([id, value]) => {
      const step = this.#steps.get(id);
      return [step === undefined ? id : `${id} · ${step.prompt}`, answerWords(value, step)];
    });
    byId("state").replaceChildren(
      list(facts, "facts"),
      answers.length === 0 ? make("p", { class: "hint" }, "No answers.") : list(answers, "answers"),
    );
  }

  /** @param {State} state */
  #showFacts(state) {
    const facts = [
      ["Status", statusWords(state)],
      ["Step", stepWords(state.current_step)],
      ["Progress", share(Math.round(state.progress * 100) / 100)],
      ["Mode", modeWords(state)],
      ["Began (UTC)", moment(state.created_at)],
      ["Last change (UTC)", moment(state.updated_at)],
      ["Completed (UTC)", moment(state.completed_at)],
      ["Revision", state.survey_revision === null ? "–" : state.survey_revision.slice(0, 12)],
    ];
    byId("facts").replaceChildren(...pairs(facts));
  }

  /** @param {string} id @param {boolean} isDisabled */
  #setDisabled(id, isDisabled) {
    byId(id).setAttribute("aria-disabled", String(isDisabled)); // not disabled: the focus would be lost
  }
}

/** @param {HistoryEvent} first @param {HistoryEvent} second */
function secondsBetween(first, second) {
  return Math.max(0, (Date.parse(second.timestamp) - Date.parse(first.timestamp)) / 1000);
}

/** @param {string[][]} facts */
function pairs(facts) {
  return facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

/** @param {string[][]} facts @param {string} kind */
function list(facts, kind) {
  return make("dl", { class: kind }, ...pairs(facts));
}

function versionInAddress() {
  const found = /^#(\d{1,15})$/u.exec(location.hash);
  return found === null ? null : Number(found[1]);
}

new Timeline();
