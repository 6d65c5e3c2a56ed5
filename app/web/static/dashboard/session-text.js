// @ts-check
/** Describes events, answers and changes of a session in English. Pure. */

import { takesAnswer } from "../page/controls/index.js";
import { textOf, valueOf } from "../page/controls/other-texts.js";
import { NONE, formatLanguage, formatPercent } from "./format.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./session-api.js").State} State
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 *
 * @typedef {object} Change
 * @property {string} name
 * @property {string} before
 * @property {string} after
 */

const END = "end";

/** @type {Record<string, string>} */
const STATUSES = { in_progress: "in progress", completed: "completed", expired: "expired" };

/** @type {Record<string, (event: HistoryEvent) => string>} by action */
const ACTIONS = {
  started: () => "started",
  answered: ({ step, data }) => `answered ${step}${data.confirmed === true ? " and confirmed it" : ""}`,
  went_back: ({ step }) => (step === null ? "went back" : `went back to ${step}`),
  went_to: ({ step }) => `went to ${step}`,
  mode_set: () => "switched the mode",
  language_set: () => "changed the language",
  drafted: ({ step }) => `typed at ${step}, not sent yet`,
  restarted: () => "started again",
  saved: () => "saved by a program",
  noted: () => "recorded by a program",
  expired: () => "expired",
};

/** @param {HistoryEvent} event */
export function describeEvent(event) {
  return ACTIONS[event.action]?.(event) ?? event.action.replaceAll("_", " ");
}

/**
 * Describe an answer, with the labels of its step.
 *
 * @param {Json | undefined} value
 * @param {Step} [step]
 */
export function describeAnswer(value, step) {
  if (value === undefined) return NONE;
  if (value === null) return step === undefined ? NONE : takesAnswer(step) ? "skipped" : "read";
  const parts = step?.fields ?? step?.rows?.map((row) => ({ ...step, rows: undefined, prompt: row.label, id: row.id }));
  if (parts !== undefined && typeof value === "object" && !Array.isArray(value)) return describeParts(value, parts);
  if (!Array.isArray(value)) return describeValue(value, step);
  return value.length === 0 ? "none of them" : value.map((item) => describeValue(item, step)).join(", ");
}

/**
 * Describe a parameter or a computed value, without the last digits of its arithmetic.
 *
 * @param {Json | undefined} value
 * @param {Step} [parameter]
 */
export function describeKnown(value, parameter) {
  if (value === null) return NONE;
  return describeAnswer(typeof value === "number" ? Number(value.toPrecision(12)) : value, parameter);
}

/** @param {State} state */
export function describeStatus(state) {
  return STATUSES[state.status] ?? state.status;
}

/** @param {string} id */
export function describeStep(id) {
  return id === END ? "the end" : id;
}

/** @param {State} state */
export function describeMode(state) {
  return state.is_audio_mode ? "audio" : "text";
}

/**
 * Return the state with the status that it had then. REST derives "expired" from the present time.
 *
 * @param {State} state
 * @param {number} newest version of the session
 * @param {HistoryEvent[]} events around the state's version
 * @returns {State}
 */
export function withStatusThen(state, newest, events) {
  if (state.status !== "expired" || state.version === newest) return state;
  const earlier = events.filter((event) => event.version <= state.version);
  const last = earlier.findLast(({ action }) => action === "expired" || action === "restarted");
  return last?.action === "expired" ? state : { ...state, status: "in_progress" };
}

/**
 * Return what differs between two states; everything if there is no earlier one.
 *
 * @param {State | null} before
 * @param {State} after
 * @param {Map<string, Step>} steps
 * @param {Map<string, Step>} [parameters]
 */
export function changesBetween(before, after, steps, parameters) {
  const changes = [
    ...fieldChanges(before, after),
    ...changesIn("Parameter", before?.parameters, after.parameters, describeKnown, parameters),
    ...changesIn("Answer to", before?.answers, after.answers, describeAnswer, steps),
    ...changesIn("Value", before?.values, after.values, describeKnown),
  ];
  return changes.filter((change) => change.before !== change.after);
}

/** @param {State | null} before @param {State} after @returns {Change[]} */
function fieldChanges(before, after) {
  /** @type {[string, (state: State) => string][]} */
  const fields = [
    ["Step", (state) => describeStep(state.current_step)],
    ["Status", describeStatus],
    ["Mode", describeMode],
    ["Language", (state) => formatLanguage(state.language ?? null)],
    ["Progress", (state) => formatPercent(Math.round(state.progress * 100) / 100)],
    ["Draft", (state) => describeAnswer(state.draft)],
    ["Other data", (state) => (state.session_data === null ? NONE : JSON.stringify(state.session_data))],
  ];
  const changes = fields.map(([name, describe]) => ({
    name,
    before: before === null ? NONE : describe(before),
    after: describe(after),
  }));
  return [...changes, routeChange(before?.step_history ?? [], after.step_history)];
}

/**
 * Return how the route changed, from the last step in common.
 *
 * @param {string[]} before
 * @param {string[]} after
 * @returns {Change}
 */
function routeChange(before, after) {
  const fork = after.findIndex((step, index) => step !== before[index]);
  const start = Math.max(0, (fork < 0 ? after.length : fork) - 1);
  const describe = (/** @type {string[]} */ route) =>
    route.length === 0 ? NONE : `${start > 0 ? "… " : ""}${route.slice(start).join(" › ")}`;
  return { name: "Route", before: describe(before), after: describe(after) };
}

/**
 * @param {string} kind
 * @param {Record<string, Json>} [before]
 * @param {Record<string, Json>} [after]
 * @param {(value: Json | undefined, step?: Step) => string} describe
 * @param {Map<string, Step>} [steps] by name
 * @returns {Change[]}
 */
function changesIn(kind, before = {}, after = {}, describe, steps) {
  const value = (/** @type {Record<string, Json>} */ all, /** @type {string} */ name) =>
    describe(Object.hasOwn(all, name) ? all[name] : undefined, steps?.get(name)); // which may be "constructor"
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return names.map((name) => ({ name: `${kind} ${name}`, before: value(before, name), after: value(after, name) }));
}

/**
 * Describe the answers to the fields of a page, or the rows of a grid; those of others by their ids.
 *
 * @param {Record<string, Json>} answers
 * @param {Step[]} parts
 * @returns {string}
 */
function describeParts(answers, parts) {
  const known = new Map(parts.map((part) => [part.id, part]));
  const described = Object.entries(answers).map(([id, answer]) => `${known.get(id)?.prompt ?? id}: ${describeAnswer(answer, known.get(id))}`);
  return described.join("; ") || NONE;
}

/** @param {Json} value @param {Step} [step] @returns {string} */
function describeValue(value, step) {
  if (textOf(value) !== "") return `${describeValue(valueOf(value), step)}: ${textOf(value)}`;
  const option = step?.options?.find((candidate) => candidate.value === valueOf(value));
  if (option !== undefined) return option.label === String(value) ? option.label : `${option.label} (${value})`;
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
