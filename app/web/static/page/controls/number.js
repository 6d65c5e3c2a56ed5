// @ts-check
/** Step type `number`: digits as people write them, with an optional range and unit. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { text } from "../texts.js";
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
    const value = parseSpokenNumber(transcript, { ...step, integer: isWhole(step) });
    return value === null || validate(step, value) !== null ? null : value;
  },
};

/** @param {Step} step */
function createControl(step) {
  const field = make("input", {
    id: "answer",
    type: "text", // type=number drops input that it can't parse, changes on scroll and hides the comma
    inputmode: isWhole(step) ? "numeric" : "decimal",
    autocomplete: "off",
    dir: "ltr", // in every script, a sign is written before the digits
    class: "short",
  });
  const unit = make("bdi", { id: "unit", class: "unit" }, step.unit ?? "");
  const row = make("div", { class: "with-unit" }, field, ...(step.unit ? [unit] : []));
  const choices = make("div", { class: "actions", role: "group", "aria-label": text("controls.number.which") });
  /** The number in the field as long as its text is unchanged: it needs no reading. */
  let shown = { text: "", value: /** @type {number | null} */ (null) };
  const show = (/** @type {import("./index.js").Json} */ value) => {
    const input = typeof value === "number" ? plain(value) : typeof value === "string" ? value : "";
    shown = { text: input, value: typeof value === "number" ? value : null };
    field.value = input;
    choices.replaceChildren();
  };
  const choose = (/** @type {string} */ digits) => {
    show(exactNumber(digits));
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
      choices.replaceChildren(...texts.map((digits) => createChoice(digits, choose)));
      return problem;
    },
  });
}

/**
 * @param {string} digits
 * @param {(digits: string) => void} choose
 */
function createChoice(digits, choose) {
  const button = make("button", { type: "button", class: "secondary" }, reading(digits));
  button.addEventListener("click", () => choose(digits));
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
  const texts = readings(input, [surveyLanguage(), navigator.language], isWhole(step));
  if (texts.length === 1) return checked(step, exactNumber(texts[0]));
  if (texts.length > 1) return { value: null, problem: question(texts), choices: texts };
  const isFraction = isWhole(step) && readings(input, [], false).length > 0;
  const problem = isFraction ? text("controls.number.problem.whole") : text("controls.number.not_number", { example: 72 });
  return { value: null, problem };
}

/** @param {string[]} texts the two readings of `readings` */
function question(texts) {
  const [first, second] = texts.map(reading);
  return text("controls.number.did_you_mean", { first, second });
}

/**
 * @param {Step} step
 * @param {number | null} value null if it can't be stored exactly
 * @returns {Reading}
 */
function checked(step, value) {
  if (value === null) return { value, problem: text("controls.number.too_many_digits") };
  return { value, problem: validate(step, value) };
}

/** @param {Pick<Step, "integer" | "decimals">} step */
function isWhole({ integer, decimals }) {
  return integer === true || decimals === 0;
}

/**
 * @param {Step} step
 * @param {number} value
 */
function validate(step, value) {
  if (isWhole(step) && !Number.isInteger(value)) return text("controls.number.problem.whole");
  const { decimals } = step;
  if (typeof decimals === "number" && Number(value.toFixed(decimals)) !== value) {
    return text("controls.number.too_many_decimals", { count: decimals });
  }
  const isBelow = typeof step.min === "number" && value < step.min;
  const isAbove = typeof step.max === "number" && value > step.max;
  return isBelow || isAbove ? rangeText("problem", step) : null;
}

/**
 * Format a number without grouping, as it can be typed.
 *
 * @param {number} value
 */
export function plain(value) {
  return formatNumber(value, surveyLanguage());
}

/**
 * Format one of several readings: a decimal number with its decimals, so that nobody takes it for a whole one.
 *
 * @param {string} digits
 */
function reading(digits) {
  return formatNumber(Number(digits), surveyLanguage(), digits.includes(".") ? 1 : 0);
}

/** @param {Step} step */
function hintFor(step) {
  const range = rangeText("hint", step);
  const ends = [step.min_label && scaleEnd(step.min, step.min_label), step.max_label && scaleEnd(step.max, step.max_label)];
  const meaning = ends.filter(Boolean).join(text("controls.separator"));
  if (range === null) return meaning || null;
  return meaning ? text("controls.number.with_meaning", { text: range, meaning }) : text("controls.sentence", { text: range });
}

/**
 * Say what one end of a range means.
 *
 * @param {unknown} value
 * @param {string} label
 */
export function scaleEnd(value, label) {
  return text("controls.scale.end", { value: plain(Number(value)), label });
}

/**
 * @param {"hint" | "problem"} use
 * @param {Step} step
 */
function rangeText(use, { min, max, integer, decimals }) {
  const [hasMin, hasMax] = [typeof min === "number", typeof max === "number"];
  const range = hasMin && hasMax ? "from_to" : hasMin ? "from" : hasMax ? "to" : null;
  const name = [isWhole({ integer, decimals }) ? "whole" : null, range].filter(Boolean).join("_");
  if (name === "") return null;
  const ends = { min: plain(Number(min)), max: plain(Number(max)) };
  return text(`controls.number.${use}.${name}`, ends);
}
