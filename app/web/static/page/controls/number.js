// @ts-check
/** Step type `number`: digits with a point or a comma, with an optional range and unit. */

import { make } from "../../dom.js";
import { normalize, parseSpokenNumber } from "./speech.js";
import { createFieldControl } from "./field.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const number = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) => (typeof value === "number" && step.unit ? `${value} ${step.unit}` : null),
  parseSpeech: (_step, transcript) => parseSpokenNumber(normalize(transcript)),
};

/** @param {Step} step */
function createControl(step) {
  const field = make("input", {
    id: "answer",
    type: "text", // type=number drops input that it can't parse, changes on scroll and hides the comma
    inputmode: step.integer ? "numeric" : "decimal",
    autocomplete: "off",
    class: "short",
  });
  const unit = make("span", { id: "unit", class: "unit" }, step.unit ?? "");
  const row = make("div", { class: "with-unit" }, field, ...(step.unit ? [unit] : []));
  return createFieldControl(step, field, [row], {
    hint: hintFor(step),
    show: (value) => {
      field.value = typeof value === "number" || typeof value === "string" ? String(value) : "";
    },
    parse: parseNumber,
    validate: (input) => validate(step, parseNumber(input)),
  });
}

/**
 * Parse typed input with a decimal point or comma; null if it is not a number.
 *
 * @param {string} input
 */
function parseNumber(input) {
  const plain = input.trim().replace(",", ".").replace("\u2212", "-");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : null;
}

/**
 * @param {Step} step
 * @param {number | null} value
 */
function validate(step, value) {
  if (value === null) return "Please enter a number in digits, for example 72.";
  if (step.integer && !Number.isInteger(value)) return "Please enter a whole number.";
  const isBelow = typeof step.min === "number" && value < step.min;
  const isAbove = typeof step.max === "number" && value > step.max;
  return isBelow || isAbove ? `Please enter ${rangeText(step)}.` : null;
}

/** @param {Step} step */
function hintFor(step) {
  const range = rangeText(step);
  const labels = [step.min_label && `${step.min}: ${step.min_label}`, step.max_label && `${step.max}: ${step.max_label}`];
  const meaning = labels.filter(Boolean).join(", ");
  if (range === null) return meaning || null;
  return `${range[0].toUpperCase()}${range.slice(1)}${meaning ? ` (${meaning})` : ""}.`;
}

/** @param {Step} step */
function rangeText(step) {
  const kind = step.integer ? "a whole number" : "a number";
  const [hasMin, hasMax] = [typeof step.min === "number", typeof step.max === "number"];
  if (hasMin && hasMax) return `${kind} from ${step.min} to ${step.max}`;
  if (hasMin) return `${kind} of ${step.min} or more`;
  if (hasMax) return `${kind} of ${step.max} or less`;
  return step.integer ? kind : null;
}
