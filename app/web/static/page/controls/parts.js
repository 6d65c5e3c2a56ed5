// @ts-check
/** The fields of a page and the rows of a grid: each has its own ids, and its problem below it. */

import { make } from "../../dom.js";
import { text } from "../texts.js";

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
 * Say in the heading that a field need not be answered: a page has no button to skip it.
 *
 * @param {Part} part
 */
export function markOptional({ control: { heading } }) {
  const name = heading.querySelector("label") ?? heading;
  name.append(" ", make("span", { class: "optional" }, text("controls.optional")));
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
 * @param {import("./index.js").StepType | {formatAnswer: import("./index.js").StepType["formatAnswer"]}} type
 * @param {Step} step a field, or a step for a row
 * @param {Json} value
 * @returns {import("./index.js").AnsweredPart}
 */
export function answeredPart(type, step, value) {
  if ("takesAnswer" in type && !type.takesAnswer) return { step, answer: null };
  return { step, answer: value === null ? text("controls.skipped") : (type.formatAnswer(step, value) ?? JSON.stringify(value)) };
}

/**
 * Return a line for each answer; null without any.
 *
 * @param {import("./index.js").AnsweredPart[]} parts
 */
export function formatParts(parts) {
  const lines = parts.filter(({ answer }) => answer !== null).map(({ step, answer }) => labelled(step, answer ?? ""));
  return lines.length > 0 ? lines.join("\n") : null;
}

/**
 * Return a text behind the name of a field or row: "Weight: 80 kg", "Do you smoke? Yes".
 *
 * @param {Step} step
 * @param {string} said
 */
export function labelled({ prompt }, said) {
  const label = prompt.split("\n\n", 1)[0];
  return /\p{P}$/u.test(label) ? `${label} ${said}` : text("controls.other.answer", { label, text: said });
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
