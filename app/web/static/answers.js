// @ts-check
/** The list of what has been answered, and answers in words. */

import { make } from "./elements.js";
import { readableDate } from "./entry-controls.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").Session} Session
 */

const LONG = 100; // characters: about two lines, where bold type begins to tire

/** The steps that this page has heard of: from the survey's definition, or as they came by. */
export class KnownSteps {
  /** @type {Map<string, Step>} */
  #steps = new Map();
  /** How many steps the survey has; null until the definition is here. @type {number | null} */
  total = null;

  /**
   * Read the survey's definition. Without it the list shows the steps that came by.
   *
   * @param {string} address
   */
  async load(address) {
    try {
      const response = await fetch(address, { headers: { Accept: "application/json" } });
      const body = await response.json();
      const steps = body?.survey?.steps;
      if (!response.ok || !Array.isArray(steps)) return;
      const seen = [...this.#steps.values()];
      this.#steps = new Map(steps.map((/** @type {Step} */ step) => [step.id, step]));
      for (const step of seen) this.#steps.set(step.id, step); // a session may be on an older revision
      this.total = steps.length;
    } catch (problem) {
      console.warn("stepkeep: the survey's definition can't be read", problem);
    }
  }

  /** @param {Step} step */
  add(step) {
    this.#steps.set(step.id, step);
  }

  /** @param {string} id */
  get(id) {
    return this.#steps.get(id) ?? null;
  }

  /**
   * The answered steps in the order of the walk; those ahead of the position come last.
   *
   * @param {Session} session
   * @returns {string[]}
   */
  answered(session) {
    const behind = session.step_history.filter((id) => id in session.answers);
    const ahead = Object.keys(session.answers).filter((id) => !behind.includes(id));
    const order = [...this.#steps.keys()];
    ahead.sort((one, other) => order.indexOf(one) - order.indexOf(other));
    return [...behind, ...ahead].filter((id) => this.get(id)?.type !== "info");
  }
}

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
