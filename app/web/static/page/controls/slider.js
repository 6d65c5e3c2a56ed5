// @ts-check
/**
 * Long scales: a slider beside a field for the number. The slider is in the middle until it is used, which is no answer.
 */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { number, plain, scaleEnd } from "./number.js";

/** @typedef {import("./index.js").Step} Step */

/**
 * @param {Step} step
 * @returns {import("./index.js").StepControl}
 */
export function createSlider(step) {
  const control = number.createControl({ ...step, integer: true, min_label: null, max_label: null });
  const [first, last] = [Number(step.min), Number(step.max)];
  const ends = createEnds(step);
  const described = `${control.field.getAttribute("aria-describedby")}${ends === null ? "" : ` ${ends.id}`}`;
  control.field.setAttribute("aria-describedby", described);
  const slider = make("input", {
    id: "slider",
    class: "slider",
    type: "range",
    min: first,
    max: last,
    "aria-labelledby": "prompt",
    "aria-describedby": described,
  });
  const shown = make("output", { for: "slider", class: "slider-value", "aria-live": "off" }); // the slider says it
  const follow = () => {
    const value = control.problem() === null ? control.value() : null;
    slider.toggleAttribute("data-unset", typeof value !== "number");
    slider.value = String(typeof value === "number" ? value : Math.round((first + last) / 2));
    const name = typeof value === "number" ? valueText(step, value) : text("controls.slider.no_answer");
    slider.setAttribute("aria-valuetext", name);
    shown.textContent = name;
  };
  const take = () => {
    control.show(Number(slider.value));
    follow();
  };
  /** Take the middle, at which no movement tells of an answer. */
  const takeMiddle = () => {
    if (slider.hasAttribute("data-unset")) slider.dispatchEvent(new Event("input", { bubbles: true }));
  };
  slider.addEventListener("input", take); // before the form hears of it
  slider.addEventListener("click", takeMiddle);
  slider.addEventListener("keydown", (event) => event.key === " " && takeMiddle());
  control.field.addEventListener("input", follow);
  const row = /** @type {HTMLElement} */ (control.field.parentElement);
  row.before(slider, ...(ends === null ? [] : [ends]));
  row.append(shown);
  row.classList.add("slider-row");
  return {
    ...control,
    show: (value) => {
      control.show(value);
      follow();
    },
  };
}

/** @param {Step} step */
function createEnds(step) {
  const { min, max, min_label: low, max_label: high } = step;
  if (!low && !high) return null;
  const ends = [low ? scaleEnd(min, low) : plain(Number(min)), high ? scaleEnd(max, high) : plain(Number(max))];
  return make("p", { id: "ends", class: "hint slider-ends" }, ...ends.map((end) => make("span", {}, end)));
}

/**
 * @param {Step} step
 * @param {number} value
 */
function valueText(step, value) {
  const label = value === step.min ? step.min_label : value === step.max ? step.max_label : null;
  return label ? scaleEnd(value, label) : text("controls.scale.value_of", { value: plain(value), max: plain(Number(step.max)) });
}
