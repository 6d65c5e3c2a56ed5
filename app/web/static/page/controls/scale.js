// @ts-check
/** Step type `scale`: a whole number between two labelled ends, as a row of radio buttons. */

import { make } from "../../dom.js";
import { number } from "./number.js";
import { createRadioGroup } from "./options.js";

/** @typedef {import("./index.js").Step} Step */

const MAX_POINTS_IN_ROW = 21; // more are too small to tell apart, or to hit, on a phone

/** @type {import("./index.js").StepType} */
export const scale = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) =>
    typeof value === "number" && typeof step.max === "number" ? `${value} of ${step.max}` : null,
  parseSpeech: (step, transcript) => number.parseSpeech({ ...step, integer: true }, transcript),
  spokenHint(step) {
    const low = step.min_label ? `${step.min}, ${step.min_label},` : String(step.min);
    const high = step.max_label ? `${step.max}, ${step.max_label}` : String(step.max);
    return `From ${low} to ${high}.`;
  },
};

/** @param {Step} step */
function createControl(step) {
  const [first, last] = [Number(step.min), Number(step.max)];
  if (last - first >= MAX_POINTS_IN_ROW) return number.createControl({ ...step, integer: true });
  const points = Array.from({ length: last - first + 1 }, (_, n) => ({ value: first + n, label: String(first + n) }));
  const control = createRadioGroup(step, points, "scale");
  if (step.min_label || step.max_label) addEnds(step, control.element);
  return control;
}

/**
 * Show what the two ends mean; screen readers also hear it at the first and the last point.
 *
 * @param {Step} step
 * @param {HTMLElement} element
 */
function addEnds(step, element) {
  const inputs = element.querySelectorAll("input");
  const low = make("span", { id: "scale-low" }, `${step.min}: ${step.min_label ?? ""}`);
  const high = make("span", { id: "scale-high" }, `${step.max}: ${step.max_label ?? ""}`);
  if (step.min_label) inputs[0].setAttribute("aria-describedby", low.id);
  if (step.max_label) inputs[inputs.length - 1].setAttribute("aria-describedby", high.id);
  const shown = [...(step.min_label ? [low] : []), ...(step.max_label ? [high] : [])];
  element.append(make("p", { id: "hint", class: "hint scale-ends" }, ...shown));
  element.setAttribute("aria-describedby", "hint problem");
}
