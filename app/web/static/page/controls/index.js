// @ts-check
/**
 * A step as form controls: `makeControl` gives each type of step its control, and all controls are
 * worked in the same way (`StepControl`), so that nothing else on the page asks for the type.
 */

import { chooseMany, chooseOne } from "./options.js";
import { make } from "../../dom.js";
import { enterDate, enterNumber, enterText } from "./text-field.js";

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 * @typedef {import("../../client/protocol.js").Step} Step
 *
 * @typedef {object} StepControl
 * @property {HTMLElement} element what is put into the form
 * @property {HTMLElement} heading takes the focus when the step comes into view
 * @property {HTMLElement} field takes the focus when something is wrong
 * @property {HTMLElement[]} marked carry aria-invalid; they are described by `#problem`, which the page has
 * @property {() => Json} draft the answer as it stands, half-typed or not
 * @property {() => Json} value the answer to send; null where there is none
 * @property {(value: Json) => void} show any JSON: what doesn't fit the step shows as no answer
 * @property {() => string | null} problem why the answer can't be sent as it stands
 */

const YES_OR_NO = [
  { value: true, label: "Yes" },
  { value: false, label: "No" },
];
const MOST_POINTS_IN_A_ROW = 21; // more can't be told apart, nor hit, on a phone

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function makeControl(step) {
  switch (step.type) {
    case "choice":
      return chooseOne(step, step.options ?? [], "cards");
    case "choices":
      return chooseMany(step);
    case "boolean":
      return chooseOne(step, YES_OR_NO, "cards");
    case "scale":
      return scale(step);
    case "number":
      return enterNumber(step);
    case "date":
      return enterDate(step);
    case "text":
      return enterText(step);
    default:
      return readOnly(step);
  }
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
function scale(step) {
  const [first, last] = [Number(step.min), Number(step.max)];
  if (last - first >= MOST_POINTS_IN_A_ROW) return enterNumber({ ...step, integer: true });
  const points = [];
  for (let value = first; value <= last; value += 1) points.push({ value, label: String(value) });
  return chooseOne(step, points, "scale");
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
function readOnly(step) {
  const heading = make("h2", { id: "prompt", tabindex: -1 }, step.prompt);
  return {
    element: make("div", {}, heading),
    heading,
    field: heading,
    marked: [],
    draft: () => null,
    value: () => null,
    show: () => {},
    problem: () => null,
  };
}
