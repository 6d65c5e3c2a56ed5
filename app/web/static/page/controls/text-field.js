// @ts-check
/** Controls for answers that are typed: text, numbers and dates. */

import { make } from "../../dom.js";

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 * @typedef {import("../../client/protocol.js").Step} Step
 * @typedef {import("./index.js").StepControl} StepControl
 */

const ONE_LINE_LENGTH = 120; // what fits on one line of a wide screen; longer answers get a textarea
const COUNT_FROM = 0.8; // of the limit: before that, a counter is only noise

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function enterText(step) {
  const limit = step.max_length ?? Infinity;
  const isShort = limit <= ONE_LINE_LENGTH || Boolean(step.pattern);
  const field = isShort
    ? make("input", { id: "answer", type: "text", autocomplete: "off" })
    : make("textarea", { id: "answer", rows: 5 });
  const left = make("p", { id: "left", class: "hint", "aria-live": "polite" });
  const count = () => {
    const length = [...field.value].length; // code points, as the server counts
    left.textContent = length < limit * COUNT_FROM ? "" : lengthNote(length, limit);
  };
  field.addEventListener("input", count);
  return entry(step, field, [field, left], {
    hint: null,
    show: (value) => {
      field.value = typeof value === "string" || typeof value === "number" ? String(value) : "";
      count();
    },
    parse: (text) => text,
    wrong: (text) => ([...text].length > limit ? lengthNote([...text].length, limit) : null),
  });
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function enterNumber(step) {
  const field = make("input", {
    id: "answer",
    type: "text", // type=number swallows what it can't read, changes on scroll and hides the comma
    inputmode: step.integer ? "numeric" : "decimal",
    autocomplete: "off",
    class: "short",
  });
  const unit = make("span", { id: "unit", class: "unit" }, step.unit ?? "");
  const row = make("div", { class: "with-unit" }, field, ...(step.unit ? [unit] : []));
  return entry(step, field, [row], {
    hint: numberHint(step),
    show: (value) => {
      field.value = typeof value === "number" || typeof value === "string" ? String(value) : "";
    },
    parse: readNumber,
    wrong: (text) => numberProblem(step, readNumber(text)),
  });
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function enterDate(step) {
  const field = make("input", { id: "answer", type: "date", class: "short", min: step.min, max: step.max });
  return entry(step, field, [field], {
    hint: null,
    show: (value) => {
      field.value = typeof value === "string" ? value : ""; // the browser empties what is no date
    },
    parse: (text) => text,
    wrong: () => {
      if (field.validity.badInput) return "Please enter a real date, with day, month and year.";
      if (field.validity.rangeUnderflow) return `Please enter a date from ${readableDate(step.min)} on.`;
      if (field.validity.rangeOverflow) return `Please enter a date up to ${readableDate(step.max)}.`;
      return null;
    },
  });
}

/**
 * @param {Step} step
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {HTMLElement[]} body
 * @param {object} ways
 * @param {string | null} ways.hint
 * @param {(value: Json) => void} ways.show
 * @param {(text: string) => Json} ways.parse
 * @param {(text: string) => string | null} ways.wrong why what was typed can't be sent
 * @returns {StepControl}
 */
function entry(step, field, body, ways) {
  const heading = make("h2", { id: "prompt", tabindex: -1 }, make("label", { for: "answer" }, step.prompt));
  const element = make("div", {}, heading);
  if (ways.hint) element.append(make("p", { id: "hint", class: "hint" }, ways.hint));
  element.append(...body);
  const describing = [ways.hint ? "hint" : "", step.unit ? "unit" : "", "problem"];
  field.setAttribute("aria-describedby", describing.filter(Boolean).join(" "));
  if (step.required) field.setAttribute("aria-required", "true");
  const isBadInput = () => field.validity.badInput;
  const isEmpty = () => field.value.trim() === "" && !isBadInput();
  return {
    element,
    heading,
    field,
    marked: [field],
    draft: () => field.value,
    value: () => (isEmpty() ? null : ways.parse(field.value)),
    show: ways.show,
    problem: () => {
      if (!isEmpty()) return ways.wrong(field.value);
      return step.required ? "Please give an answer to go on." : null;
    },
  };
}

/**
 * The number that was typed, with a point or a comma; null where it is none.
 *
 * @param {string} text
 * @returns {number | null}
 */
export function readNumber(text) {
  const plain = text.trim().replace(",", ".").replace("\u2212", "-");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(plain) ? Number(plain) : null;
}

/**
 * @param {Step} step
 * @param {number | null} number
 */
function numberProblem(step, number) {
  if (number === null) return "Please enter a number in digits, for example 72.";
  if (step.integer && !Number.isInteger(number)) return "Please enter a whole number.";
  const isBelow = typeof step.min === "number" && number < step.min;
  const isAbove = typeof step.max === "number" && number > step.max;
  return isBelow || isAbove ? `Please enter ${rangeOf(step)}.` : null;
}

/** @param {Step} step */
function numberHint(step) {
  const range = rangeOf(step);
  const labels = [step.min_label && `${step.min}: ${step.min_label}`, step.max_label && `${step.max}: ${step.max_label}`];
  const meaning = labels.filter(Boolean).join(", ");
  if (range === null) return meaning || null;
  return `${range[0].toUpperCase()}${range.slice(1)}${meaning ? ` (${meaning})` : ""}.`;
}

/**
 * @param {Step} step
 * @returns {string | null}
 */
function rangeOf(step) {
  const what = step.integer ? "a whole number" : "a number";
  const [hasMin, hasMax] = [typeof step.min === "number", typeof step.max === "number"];
  if (hasMin && hasMax) return `${what} from ${step.min} to ${step.max}`;
  if (hasMin) return `${what} of ${step.min} or more`;
  if (hasMax) return `${what} of ${step.max} or less`;
  return step.integer ? what : null;
}

/**
 * @param {number} length
 * @param {number} limit
 */
function lengthNote(length, limit) {
  const left = limit - length;
  return left >= 0 ? `${left} characters left` : `${-left} characters too many`;
}

/** @param {unknown} day YYYY-MM-DD */
export function readableDate(day) {
  const date = new Date(`${day}T00:00:00`);
  if (Number.isNaN(date.getTime())) return String(day);
  return date.toLocaleDateString(document.documentElement.lang || undefined, { dateStyle: "long" });
}
