// @ts-check
/** Step types `time`, `datetime` and `month`, and what they share with `date`: the browser's own fields. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { text } from "../texts.js";
import { createFieldControl } from "./field.js";
import { createMonthSelects } from "./month-selects.js";
import { normalize } from "./speech.js";
import { parseSpokenMonth } from "./spoken-date.js";
import { parseSpokenDatetime, parseSpokenTime } from "./spoken-time.js";

const FIRST_YEAR = "1000"; // as the server's

/**
 * @typedef {import("./index.js").Step} Step
 *
 * @typedef {object} Moment how the answers of a type are written; they have one length and sort by time
 * @property {string} name in the keys of texts
 * @property {string} inputType
 * @property {string} [last] with it the browser's field takes four digits of a year, not six; none without years
 * @property {(value: string) => string} toIso a complete date and time
 * @property {Intl.DateTimeFormatOptions} format
 * @property {(speech: string) => string | null} parse what was said, normalized
 */

export const time = momentType({
  name: "time",
  inputType: "time",
  toIso: (value) => `2000-01-01T${value}`,
  format: { timeStyle: "short" },
  parse: parseSpokenTime,
});

export const datetime = momentType({
  name: "datetime",
  inputType: "datetime-local",
  last: "9999-12-31T23:59",
  toIso: (value) => value,
  format: { dateStyle: "long", timeStyle: "short" },
  parse: parseSpokenDatetime,
});

export const month = momentType({
  name: "month",
  inputType: "month",
  last: "9999-12",
  toIso: (value) => `${value}-01T00:00`,
  format: { year: "numeric", month: "long" },
  parse: parseSpokenMonth,
});

/**
 * @param {Moment} moment
 * @returns {import("./index.js").StepType}
 */
export function momentType(moment) {
  return {
    takesAnswer: true,
    createControl: (step) => createControl(step, moment),
    formatAnswer: (_step, value) => (typeof value === "string" ? format(moment, value) : null),
    parseSpeech(step, transcript) {
      const value = moment.parse(normalize(transcript));
      if (value === null || hasShortYear(step, moment, value)) return null;
      const { min, max } = fixedBounds(step);
      return (min && value < min) || (max && value > max) ? null : value;
    },
  };
}

/**
 * @param {Step} step
 * @param {Moment} moment
 */
function createControl(step, moment) {
  const bounds = { min: step.min, max: step.max ?? moment.last };
  const field = make("input", { id: "answer", type: moment.inputType, class: `short ${moment.name}`, ...bounds });
  const hint = hintFor(step, moment);
  const validate = (/** @type {string} */ value) => problemWith(value, step, moment);
  if (field.type !== moment.inputType && moment.name === "month") return createMonthSelects(step, hint, validate);
  return createFieldControl(step, field, [field], {
    hint,
    show: (value) => {
      field.value = typeof value === "string" ? value : ""; // the browser clears text that is none
    },
    parse: (input) => input,
    validate: (value) => (field.validity.badInput ? text(`controls.${moment.name}.not_real`) : validate(value)),
  });
}

/**
 * @param {string} value
 * @param {Step} step
 * @param {Moment} moment
 */
function problemWith(value, step, moment) {
  const { min, max = moment.last } = fixedBounds(step);
  const isLate = typeof max === "string" && (value > max || value.length > max.length); // a year may have six digits
  if (isLate) return text(`controls.${moment.name}.too_late`, { max: format(moment, max) });
  if (Number.isNaN(Date.parse(moment.toIso(value)))) return text(`controls.${moment.name}.not_real`);
  if (hasShortYear(step, moment, value)) return text("controls.date.short_year");
  const isEarly = min !== undefined && value < min;
  return isEarly ? text(`controls.${moment.name}.too_early`, { min: format(moment, min) }) : null;
}

/**
 * Return the bounds that are still those of the server: computed ones move on after the step was shown.
 *
 * @param {Step} step
 * @returns {{min?: string, max?: string}}
 */
function fixedBounds({ min, max, depends_on: isComputed }) {
  if (isComputed) return {};
  return { ...(typeof min === "string" && { min }), ...(typeof max === "string" && { max }) };
}

/**
 * @param {Step} step
 * @param {Moment} moment
 */
function hintFor({ min, max }, moment) {
  if (!min && !max) return null;
  const range = { min: min ? format(moment, String(min)) : "", max: max ? format(moment, String(max)) : "" };
  return text(`controls.${moment.name}.${min && max ? "from_to" : min ? "from" : "to"}`, range);
}

/**
 * Return whether two digits of a year were meant, such as 0085 for 1985, unless the step accepts such years.
 *
 * @param {Step} step
 * @param {Moment} moment
 * @param {string} value
 */
function hasShortYear(step, { last }, value) {
  return last !== undefined && value < FIRST_YEAR && (typeof step.min !== "string" || step.min >= FIRST_YEAR);
}

/**
 * @param {Moment} moment
 * @param {string} value
 */
function format(moment, value) {
  const parsed = new Date(moment.toIso(value));
  if (Number.isNaN(parsed.getTime())) return value;
  return new Intl.DateTimeFormat(surveyLanguage(), moment.format).format(parsed);
}
