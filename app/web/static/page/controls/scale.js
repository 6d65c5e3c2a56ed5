// @ts-check
/**
 * Step type `scale`: a whole number between two labelled ends, as radio buttons in one row of equal columns, or in one
 * column where that is too narrow. Points in two rows would suggest a step between them. A long scale is a slider.
 */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { number, plain, scaleEnd } from "./number.js";
import { createRadioGroup } from "./options.js";
import { createSlider } from "./slider.js";

/** @typedef {import("./index.js").Step} Step */

const MAX_POINTS = 21; // more are too many to tell apart

/** @type {import("./index.js").StepType} */
export const scale = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) =>
    typeof value === "number" && typeof step.max === "number"
      ? text("controls.scale.value_of", { value: plain(value), max: plain(step.max) })
      : null,
  parseSpeech: (step, transcript) => number.parseSpeech({ ...step, integer: true }, transcript),
  spokenHint(step) {
    const [min, max] = [plain(Number(step.min)), plain(Number(step.max))];
    const low = step.min_label ? text("controls.scale.spoken_low", { value: min, label: step.min_label }) : min;
    const high = step.max_label ? text("controls.scale.spoken_high", { value: max, label: step.max_label }) : max;
    return text("controls.scale.spoken", { low, high });
  },
};

/** @param {Step} step */
function createControl(step) {
  const [first, last] = [Number(step.min), Number(step.max)];
  if (last - first >= MAX_POINTS) return createSlider(step);
  const points = Array.from({ length: last - first + 1 }, (_, n) => ({ value: first + n, label: plain(first + n) }));
  const control = createRadioGroup(step, points, "scale");
  if (step.min_label || step.max_label) addEnds(step, control.element);
  control.element.style.setProperty("--points", String(points.length));
  control.element.style.setProperty("--characters", String(Math.max(...points.map(({ label }) => label.length))));
  return control;
}

/**
 * Show what the two ends mean below a row, or beside the first and last point of a column. Screen readers also hear it at
 * these points.
 *
 * @param {Step} step
 * @param {HTMLElement} element
 */
function addEnds(step, element) {
  const inputs = element.querySelectorAll("input");
  const low = make("span", { id: "scale-low" }, scaleEnd(step.min, step.min_label ?? ""));
  const high = make("span", { id: "scale-high", class: "high" }, scaleEnd(step.max, step.max_label ?? ""));
  if (step.min_label) describe(inputs[0], low.id, step.min_label);
  if (step.max_label) describe(inputs[inputs.length - 1], high.id, step.max_label);
  const shown = [...(step.min_label ? [low] : []), ...(step.max_label ? [high] : [])];
  element.append(make("p", { id: "hint", class: "hint scale-ends" }, ...shown));
  const descriptions = (element.getAttribute("aria-describedby") ?? "").replace("problem", "hint problem");
  element.setAttribute("aria-describedby", descriptions);
}

/**
 * @param {HTMLInputElement} input
 * @param {string} id
 * @param {string} meaning
 */
function describe(input, id, meaning) {
  input.setAttribute("aria-describedby", id);
  /** @type {HTMLElement} */ (input.parentElement).dataset.meaning = meaning;
}
