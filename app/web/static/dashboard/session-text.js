// @ts-check
/** Events, answers and differences of states in words. Pure. */

import { share } from "./format.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./session-api.js").State} State
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 *
 * @typedef {object} Change
 * @property {string} what
 * @property {string} before
 * @property {string} after
 */

export const NOTHING = "–";
const END = "end";

/** @type {Record<string, string>} */
const STATUSES = { in_progress: "in progress", completed: "completed", expired: "expired" };

/** @type {Record<string, (event: HistoryEvent) => string>} */
const ACTIONS = {
  started: () => "started",
  answered: ({ step }) => `answered ${step}`,
  went_back: ({ step }) => (step === null ? "went back" : `went back to ${step}`),
  went_to: ({ step }) => `went to ${step}`,
  mode_set: () => "switched the mode",
  drafted: ({ step }) => `typed at ${step}, not sent yet`,
  restarted: () => "began again",
  saved: () => "state saved by a program",
  noted: () => "noted by a program",
  expired: () => "time was over",
};

/** @param {HistoryEvent} event */
export function actionWords(event) {
  return (ACTIONS[event.action] ?? (() => event.action.replaceAll("_", " ")))(event);
}

/**
 * An answer as people read it: by its labels where the survey has them.
 *
 * @param {Json | undefined} value
 * @param {Step} [step]
 */
export function answerWords(value, step) {
  if (value === undefined) return NOTHING;
  if (value === null) return step === undefined ? NOTHING : step.type === "info" ? "read" : "skipped";
  if (Array.isArray(value)) return value.length === 0 ? "none of them" : value.map((one) => optionWords(one, step)).join(", ");
  return optionWords(value, step);
}

/**
 * The state with the status that it had then: REST tells by the clock of today whether a session's time is over.
 *
 * @param {State} state
 * @param {number} newest version of the session
 * @param {HistoryEvent[]} events around it
 * @returns {State}
 */
export function asThen(state, newest, events) {
  if (state.status !== "expired" || state.version === newest) return state;
  let isOver = false;
  for (const event of events) {
    if (event.version <= state.version && event.action === "expired") isOver = true;
    if (event.version <= state.version && event.action === "restarted") isOver = false;
  }
  return isOver ? state : { ...state, status: "in_progress" };
}

/** @param {State} state */
export function statusWords(state) {
  return STATUSES[state.status] ?? state.status;
}

/** @param {string} id */
export function stepWords(id) {
  return id === END ? "the end" : id;
}

/** @param {State} state */
export function modeWords(state) {
  return state.is_audio_mode ? "audio" : "text";
}

/**
 * What differs between two states; all of the second where there is no first.
 *
 * @param {State | null} before
 * @param {State} after
 * @param {Map<string, Step>} steps
 * @returns {Change[]}
 */
export function changesBetween(before, after, steps) {
  const all = [...fieldsOf(before, after), ...answersOf(before, after, steps)];
  return all.filter((change) => change.before !== change.after);
}

/** @param {State | null} before @param {State} after @returns {Change[]} */
function fieldsOf(before, after) {
  /** @type {[string, (state: State) => string][]} */
  const fields = [
    ["Step", (state) => stepWords(state.current_step)],
    ["Status", statusWords],
    ["Mode", modeWords],
    ["Progress", (state) => share(Math.round(state.progress * 100) / 100)],
    ["Half-typed", (state) => answerWords(state.draft)],
    ["Other data", (state) => (state.session_data === null ? NOTHING : JSON.stringify(state.session_data))],
  ];
  const changes = fields.map(([what, words]) => ({
    what,
    before: before === null ? NOTHING : words(before),
    after: words(after),
  }));
  return [...changes, wayBetween(before?.step_history ?? [], after.step_history)];
}

/**
 * The way that was walked, from where it became another.
 *
 * @param {string[]} before
 * @param {string[]} after
 * @returns {Change}
 */
function wayBetween(before, after) {
  const parted = after.findIndex((step, at) => step !== before[at]);
  const same = Math.max(0, (parted < 0 ? after.length : parted) - 1); // the last step in common is shown
  const words = (/** @type {string[]} */ way) =>
    way.length === 0 ? NOTHING : `${same > 0 ? "… " : ""}${way.slice(same).join(" › ")}`;
  return { what: "Way", before: words(before), after: words(after) };
}

/** @param {State | null} before @param {State} after @param {Map<string, Step>} steps @returns {Change[]} */
function answersOf(before, after, steps) {
  const ids = new Set([...Object.keys(before?.answers ?? {}), ...Object.keys(after.answers)]);
  return [...ids].map((id) => ({
    what: `Answer to ${id}`,
    before: answerWords(before?.answers[id], steps.get(id)),
    after: answerWords(after.answers[id], steps.get(id)),
  }));
}

/** @param {Json} value @param {Step} [step] */
function optionWords(value, step) {
  const found = step?.options?.find((option) => option.value === value);
  if (found !== undefined) return found.label === String(value) ? found.label : `${found.label} (${value})`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
