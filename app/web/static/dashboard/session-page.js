// @ts-check
/** The page of one session: its events, and its state at any version. */

import { byId, make } from "../dom.js";
import { AutoRefresh } from "./auto-refresh.js";
import { EventList } from "./event-list.js";
import { NONE, formatDuration, formatLanguage, formatPercent, formatTime } from "./format.js";
import { EVENTS_PER_PAGE, SessionApi } from "./session-api.js";
import {
  changesBetween,
  describeAnswer,
  describeEvent,
  describeKnown,
  describeMode,
  describeStatus,
  describeStep,
  withStatusThen,
} from "./session-text.js";

/**
 * @typedef {import("./session-api.js").State} State
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 * @typedef {import("../client/protocol.js").Step} Step
 */

const REFRESH_MS = 30_000;
const SLIDER_DELAY_MS = 120; // no request while the slider is moving

class SessionPage {
  /** @type {Map<string, Step>} */
  #steps = new Map();
  /** @type {Map<string, Step>} */
  #parameters = new Map();
  #newest = 0;
  #version = 0;
  #request = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #sliderTimer;
  #slider = /** @type {HTMLInputElement} */ (byId("version"));
  #events = new EventList((version) => void this.#open(version));
  #api;

  constructor() {
    const { root = "", surveyId = "", userId = "" } = byId("session").dataset;
    this.#api = new SessionApi(root, surveyId, userId);
    this.#slider.addEventListener("input", () => this.#handleSlider());
    this.#openOnClick("first", () => 1);
    this.#openOnClick("previous", () => this.#version - 1);
    this.#openOnClick("next", () => this.#version + 1);
    this.#openOnClick("newest", () => this.#newest);
    this.#openOnClick("events-before", () => (this.#page - 1) * EVENTS_PER_PAGE + 1);
    this.#openOnClick("events-after", () => (this.#page + 1) * EVENTS_PER_PAGE + 1);
    addEventListener("hashchange", () => void this.#open(versionInUrl() ?? this.#newest));
    void this.#start();
  }

  async #start() {
    ({ steps: this.#steps, parameters: this.#parameters } = await this.#api.definition());
    await new AutoRefresh(REFRESH_MS, (signal) => this.#refresh(signal)).refresh();
  }

  get #page() {
    return Math.floor((this.#version - 1) / EVENTS_PER_PAGE);
  }

  /** @param {string} id @param {() => number} version */
  #openOnClick(id, version) {
    byId(id).addEventListener("click", () => void this.#open(version()));
  }

  #handleSlider() {
    clearTimeout(this.#sliderTimer);
    this.#sliderTimer = setTimeout(() => void this.#open(Number(this.#slider.value)), SLIDER_DELAY_MS);
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    const state = await this.#api.current(signal);
    const wasNewest = this.#version === this.#newest;
    const isFirst = this.#newest === 0;
    const hasChanged = state.version !== this.#newest;
    this.#newest = state.version;
    this.#slider.max = String(state.version);
    this.#showFacts(state);
    if (isFirst) await this.#open(versionInUrl() ?? state.version);
    else if (hasChanged) await this.#open(wasNewest ? state.version : this.#version);
  }

  /**
   * Show a version, or the nearest one that exists.
   *
   * @param {number} requested
   */
  async #open(requested) {
    const version = Math.min(Math.max(1, requested), this.#newest);
    clearTimeout(this.#sliderTimer);
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#version = version;
    this.#slider.value = String(version);
    history.replaceState(null, "", version === this.#newest ? location.pathname : `#${version}`);
    try {
      const [before, after, events] = await Promise.all([
        version === 1 ? null : this.#api.atVersion(version - 1, signal),
        this.#api.atVersion(version, signal),
        this.#api.events(this.#page, signal),
      ]);
      if (!signal.aborted) this.#show(before, after, events);
    } catch (error) {
      if (signal.aborted) return;
      byId("version-text").textContent = error instanceof Error ? error.message : "This did not work.";
    }
  }

  /** @param {State | null} stateBefore @param {State} state @param {HistoryEvent[]} events */
  #show(stateBefore, state, events) {
    const before = stateBefore && withStatusThen(stateBefore, this.#newest, events);
    const after = withStatusThen(state, this.#newest, events);
    this.#events.show(events, this.#page, this.#version, this.#newest, this.#steps);
    this.#showVersion(events);
    this.#showChanges(before, after);
    this.#showState(after);
  }

  /** @param {HistoryEvent[]} events */
  #showVersion(events) {
    const index = events.findIndex((event) => event.version === this.#version);
    const event = events[index];
    const pause = event && index > 0 ? `, ${formatDuration(secondsBetween(events[index - 1], event))} after the event before` : "";
    const happened = event ? `: ${describeEvent(event)}, ${formatTime(event.timestamp)} UTC${pause}` : "";
    const text = `Version ${this.#version} of ${this.#newest}${happened}`;
    byId("version-text").textContent = text;
    this.#slider.setAttribute("aria-valuetext", text);
    for (const id of ["first", "previous"]) setDisabled(id, this.#version === 1);
    for (const id of ["next", "newest"]) setDisabled(id, this.#version === this.#newest);
  }

  /** @param {State | null} before @param {State} after */
  #showChanges(before, after) {
    const changes = changesBetween(before, after, this.#steps, this.#parameters);
    if (changes.length === 0) {
      byId("changes").replaceChildren(make("p", { class: "hint" }, "Nothing that is shown here."));
      return;
    }
    const rows = changes.map((change) => {
      const old = change.before === NONE ? [] : [make("del", {}, change.before), " → "];
      return make("div", {}, make("dt", {}, change.name), make("dd", {}, ...old, make("ins", {}, change.after)));
    });
    byId("changes").replaceChildren(make("dl", { class: "changes" }, ...rows));
  }

  /** @param {State} state */
  #showState(state) {
    const facts = [
      ["Step", describeStep(state.current_step)],
      ["Status", describeStatus(state)],
      ["Mode", describeMode(state)],
      ["Language", formatLanguage(state.language ?? null)],
      ["Draft", describeAnswer(state.draft)],
    ];
    const answers = Object.entries(state.answers).map(([id, value]) => {
      const step = this.#steps.get(id);
      return [step === undefined ? id : `${id} · ${step.prompt}`, describeAnswer(value, step)];
    });
    const parameters = Object.entries(state.parameters ?? {}).map(([name, value]) => [
      `Parameter ${name}`,
      describeKnown(value, this.#parameters.get(name)),
    ]);
    const values = Object.entries(state.values ?? {}).map(([name, value]) => [`Value ${name}`, describeKnown(value)]);
    byId("state").replaceChildren(
      make("dl", { class: "facts" }, ...createRows(facts)),
      ...(parameters.length === 0 ? [] : [make("dl", { class: "facts" }, ...createRows(parameters))]),
      answers.length === 0
        ? make("p", { class: "hint" }, "No answers.")
        : make("dl", { class: "answers" }, ...createRows(answers)),
      ...(values.length === 0 ? [] : [make("dl", { class: "facts" }, ...createRows(values))]),
    );
  }

  /** @param {State} state */
  #showFacts(state) {
    const facts = [
      ["Status", describeStatus(state)],
      ["Step", describeStep(state.current_step)],
      ["Progress", formatPercent(Math.round(state.progress * 100) / 100)],
      ["Mode", describeMode(state)],
      ["Started (UTC)", formatTime(state.created_at)],
      ["Last change (UTC)", formatTime(state.updated_at)],
      ["Completed (UTC)", formatTime(state.completed_at)],
      ["Revision", state.survey_revision === null ? NONE : state.survey_revision.slice(0, 12)],
    ];
    byId("facts").replaceChildren(...createRows(facts));
  }
}

/** @param {string} id @param {boolean} isDisabled */
function setDisabled(id, isDisabled) {
  byId(id).setAttribute("aria-disabled", String(isDisabled)); // `disabled` would lose the focus
}

/** @param {HistoryEvent} first @param {HistoryEvent} second */
function secondsBetween(first, second) {
  return Math.max(0, (Date.parse(second.timestamp) - Date.parse(first.timestamp)) / 1000);
}

/** @param {string[][]} facts names and values */
function createRows(facts) {
  return facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
}

function versionInUrl() {
  const match = /^#(\d{1,15})$/u.exec(location.hash);
  return match === null ? null : Number(match[1]);
}

new SessionPage();
