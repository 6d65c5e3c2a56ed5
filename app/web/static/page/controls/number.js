// @ts-check
/** Step type `number`: digits as people write them, with an optional range and unit. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { createFieldControl } from "./field.js";
import { exactNumber, formatNumber, readings } from "./numerals.js";
import { parseSpokenNumber } from "./speech.js";

/**
 * @typedef {import("./index.js").Step} Step
 * @typedef {{value: number | null, problem: string | null, choices?: string[]}} Reading what an input means, or why it
 *   can't be sent; choices if it can be meant in several ways
 */

/** @type {import("./index.js").StepType} */
export const number = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) => (typeof value === "number" ? [plain(value), step.unit].filter(Boolean).join(" ") : null),
  parseSpeech(step, transcript) {
    const value = parseSpokenNumber(transcript, step);
    return value === null || validate(step, value) !== null ? null : value;
  },
};

/** @param {Step} step */
function createControl(step) {
  const field = make("input", {
    id: "answer",
    type: "text", // type=number drops input that it can't parse, changes on scroll and hides the comma
    inputmode: step.integer ? "numeric" : "decimal",
    autocomplete: "off",
    dir: "ltr", // in every script, a sign is written before the digits
    class: "short",
  });
  const unit = make("span", { id: "unit", class: "unit" }, step.unit ?? "");
  const row = make("div", { class: "with-unit" }, field, ...(step.unit ? [unit] : []));
  const choices = make("div", { class: "actions", role: "group", "aria-label": "Choose the number that you meant" });
  /** The number in the field as long as its text is unchanged: it needs no reading. */
  let shown = { text: "", value: /** @type {number | null} */ (null) };
  const show = (/** @type {import("./index.js").Json} */ value) => {
    const text = typeof value === "number" ? plain(value) : typeof value === "string" ? value : "";
    shown = { text, value: typeof value === "number" ? value : null };
    field.value = text;
    choices.replaceChildren();
  };
  const choose = (/** @type {string} */ text) => {
    show(exactNumber(text));
    field.dispatchEvent(new Event("input", { bubbles: true }));
    /** @type {HTMLElement | null | undefined} */ (field.form?.querySelector("[type=submit]"))?.focus();
  };
  const readField = () => {
    const isUnchanged = shown.value !== null && shown.text === field.value;
    return isUnchanged ? checked(step, shown.value) : read(step, field.value);
  };
  field.addEventListener("input", () => choices.replaceChildren());
  return createFieldControl(step, field, [row, choices], {
    hint: hintFor(step),
    show,
    parse: () => readField().value,
    validate: () => {
      const { problem, choices: texts = [] } = readField();
      choices.replaceChildren(...texts.map((text) => createChoice(text, choose)));
      return problem;
    },
  });
}

/**
 * @param {string} text
 * @param {(text: string) => void} choose
 */
function createChoice(text, choose) {
  const button = make("button", { type: "button", class: "secondary" }, reading(text));
  button.addEventListener("click", () => choose(text));
  return button;
}

/**
 * Read typed input. People write numbers by the survey's language or by their browser's.
 *
 * @param {Step} step
 * @param {string} input
 * @returns {Reading}
 */
function read(step, input) {
  const texts = readings(input, [surveyLanguage(), navigator.language], step.integer === true);
  if (texts.length === 1) return checked(step, exactNumber(texts[0]));
  if (texts.length > 1) return { value: null, problem: `Did you mean ${texts.map(reading).join(" or ")}?`, choices: texts };
  const isFraction = step.integer && readings(input, [], false).length > 0;
  const problem = isFraction ? "Please enter a whole number." : "Please enter a number in digits, for example 72.";
  return { value: null, problem };
}

/**
 * @param {Step} step
 * @param {number | null} value null if it can't be stored exactly
 * @returns {Reading}
 */
function checked(step, value) {
  if (value === null) return { value, problem: "This number has too many digits to be stored exactly. Please enter fewer digits." };
  return { value, problem: validate(step, value) };
}

/**
 * @param {Step} step
 * @param {number} value
 */
function validate(step, value) {
  if (step.integer && !Number.isInteger(value)) return "Please enter a whole number.";
  const isBelow = typeof step.min === "number" && value < step.min;
  const isAbove = typeof step.max === "number" && value > step.max;
  return isBelow || isAbove ? `Please enter ${rangeText(step)}.` : null;
}

/** @param {number} value */
function plain(value) {
  return formatNumber(value, surveyLanguage());
}

/**
 * Format one of several readings: a decimal number with its decimals, so that nobody takes it for a whole one.
 *
 * @param {string} text
 */
function reading(text) {
  return formatNumber(Number(text), surveyLanguage(), text.includes(".") ? 1 : 0);
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
