// @ts-check
/** The fields of a page and the rows of a grid: each has its own ids, and its problem below it. */

import { make } from "../../dom.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Step} Step
 * @typedef {import("./index.js").StepControl} StepControl
 *
 * @typedef {object} Part
 * @property {Step} step the field; of a row, a step with the row's label and the grid's options
 * @property {StepControl} control
 * @property {HTMLElement} element
 * @property {HTMLElement} problem what is wrong with its answer
 */

const WITH_IDS = ["id", "for", "name", "aria-describedby", "aria-labelledby", "aria-controls"];

/**
 * @param {Step} step
 * @param {StepControl} control whose ids are those of a step
 * @returns {Part}
 */
export function createPart(step, control) {
  const problem = make("p", { id: "problem", class: "part-problem", hidden: true });
  const element = make("div", { class: "part", "data-part": step.id }, control.element, problem);
  for (const one of element.querySelectorAll("*")) {
    for (const name of WITH_IDS) {
      const ids = one.getAttribute(name);
      if (ids !== null) one.setAttribute(name, ids.split(" ").map((id) => `part-${step.id}-${id}`).join(" "));
    }
  }
  element.querySelector(`#part-${step.id}-answer`)?.classList.add("field");
  return { step, control, element, problem };
}

/**
 * Return what is wrong with parts, by id.
 *
 * @param {Part[]} parts
 */
export function problemsOf(parts) {
  const problems = parts.map(({ step, control }) => [step.id, control.problem()]);
  return Object.fromEntries(problems.filter(([, problem]) => problem !== null));
}

/**
 * Return the answer to one part.
 *
 * @param {Json} answer to the step
 * @param {string} id
 * @returns {Json | undefined} undefined if it has none, not even null
 */
export function answerTo(answer, id) {
  const isObject = typeof answer === "object" && answer !== null && !Array.isArray(answer);
  return isObject && Object.hasOwn(answer, id) ? answer[id] : undefined;
}
