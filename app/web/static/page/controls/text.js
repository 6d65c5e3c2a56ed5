// @ts-check
/** Step type `text`: an input for short answers, a textarea for long ones. */

import { make } from "../../dom.js";
import { text as pageText } from "../texts.js";
import { createFieldControl } from "./field.js";

/** @typedef {import("./index.js").Step} Step */

const MAX_LINE_LENGTH = 120; // what fits on one line of a wide screen
const COUNTER_FROM = 0.8; // share of the limit from which a counter helps

/** @type {import("./index.js").StepType} */
export const text = {
  takesAnswer: true,
  createControl,
  formatAnswer: (_step, value) => (typeof value === "string" ? value : null),
  parseSpeech: (_step, transcript) => transcript.trim() || null,
};

/** @param {Step} step */
function createControl(step) {
  const limit = step.max_length ?? Infinity;
  const isShort = limit <= MAX_LINE_LENGTH || Boolean(step.pattern);
  const field = isShort
    ? make("input", { id: "answer", type: "text", autocomplete: "off" })
    : make("textarea", { id: "answer", rows: 5 });
  const counter = make("p", { id: "left", class: "hint left", "aria-live": "polite" });
  const count = () => {
    const length = lengthOf(field.value);
    counter.textContent = length < limit * COUNTER_FROM ? "" : remaining(limit - length);
  };
  field.addEventListener("input", count);
  return createFieldControl(step, field, [field, counter], {
    show: (value) => {
      field.value = typeof value === "string" || typeof value === "number" ? String(value) : "";
      count();
    },
    parse: (input) => input,
    validate: (input) => (lengthOf(input) > limit ? remaining(limit - lengthOf(input)) : null),
  });
}

/**
 * Count code points, as the server does.
 *
 * @param {string} value
 */
function lengthOf(value) {
  return [...value].length;
}

/** @param {number} count */
function remaining(count) {
  return pageText(count >= 0 ? "controls.text.left" : "controls.text.too_many", { count: Math.abs(count) });
}
