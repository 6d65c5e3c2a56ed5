// @ts-check
/** The list of what has been answered, and answers in words. */

import { make } from "../dom.js";
import { readableDate } from "./controls/text-field.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {import("./step-cache.js").KnownSteps} KnownSteps
 */

const LONG = 100; // characters: about two lines, where bold type begins to tire

/**
 * An answer in words, by the labels of its step.
 *
 * @param {Step | null} step
 * @param {Json} value
 * @returns {string}
 */
export function inWords(step, value) {
  if (value === null || value === undefined) return "Skipped";
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (Array.isArray(value)) return value.map((one) => labelOf(step, one)).join(", ") || "None";
  if (typeof value === "object") return JSON.stringify(value);
  if (step?.type === "date") return readableDate(value);
  if (step?.type === "number" && step.unit) return `${value} ${step.unit}`;
  if (step?.type === "scale" && typeof step.max === "number") return `${value} of ${step.max}`;
  return labelOf(step, value);
}

/**
 * @param {Step | null} step
 * @param {Json} value
 */
function labelOf(step, value) {
  return step?.options?.find((option) => option.value === value)?.label ?? String(value);
}

/**
 * Fill the list with the session's answers.
 *
 * @param {HTMLElement} list a `dl`
 * @param {Session} session
 * @param {KnownSteps} steps
 * @param {((step: string) => void) | null} edit null where the answers can't be changed any more
 */
export function fillAnswers(list, session, steps, edit) {
  const rows = steps.answered(session).map((id) => {
    const step = steps.get(id);
    const question = step?.prompt ?? id;
    const words = inWords(step, session.answers[id]);
    const row = make(
      "div",
      { class: "answered", "data-step": id },
      make("dt", {}, question),
      make("dd", { class: words.length > LONG ? "given long" : "given" }, words),
    );
    if (edit !== null) row.append(make("dd", { class: "action" }, editButton(id, question, edit)));
    return row;
  });
  list.replaceChildren(...rows);
}

/**
 * @param {string} id
 * @param {string} question
 * @param {(step: string) => void} edit
 */
function editButton(id, question, edit) {
  const name = `Edit: ${question}`;
  const button = make("button", { type: "button", class: "quiet", "data-edit": id, "aria-label": name }, "Edit");
  button.addEventListener("click", () => edit(id));
  return button;
}
