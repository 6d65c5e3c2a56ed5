// @ts-check
/** Step type `date`: the browser's date field; answers are YYYY-MM-DD. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { createFieldControl } from "./field.js";
import { normalize, parseOrdinal } from "./speech.js";

const FIRST_DATE = "1000-01-01"; // as the server's
const LAST_DATE = "9999-12-31"; // with it the browser's field takes four digits of a year, not six

const SPOKEN_FORMS = [
  /^(?:the )?(?<day>\S+) (?:of )?(?<month>\D+) (?<year>\d{4})$/, // 3 May 1980, the 3rd of May 1980
  /^(?<month>\D+) (?:the )?(?<day>\S+) (?<year>\d{4})$/, // May 3rd, 1980
];

/** @type {import("./index.js").StepType} */
export const date = {
  takesAnswer: true,
  createControl,
  formatAnswer: (_step, value) => (typeof value === "string" ? formatDate(value) : null),
  parseSpeech(step, transcript) {
    const day = parseSpokenDate(normalize(transcript));
    if (day === null || hasShortYear(step, day)) return null;
    return (step.min && day < step.min) || (step.max && day > step.max) ? null : day;
  },
};

/** @param {import("./index.js").Step} step */
function createControl(step) {
  const field = make("input", { id: "answer", type: "date", class: "short", min: step.min, max: step.max ?? LAST_DATE });
  return createFieldControl(step, field, [field], {
    hint: hintFor(step),
    show: (value) => {
      field.value = typeof value === "string" ? value : ""; // the browser clears text that is not a date
    },
    parse: (input) => input,
    validate: (day) => {
      if (field.validity.badInput) return "Please enter a real date, with day, month and year.";
      if (hasShortYear(step, day)) return "Please enter the year in four digits, such as 1985.";
      if (field.validity.rangeUnderflow) return `Please enter a date from ${formatDate(step.min)} on.`;
      if (field.validity.rangeOverflow) return `Please enter a date up to ${formatDate(field.max)}.`;
      return null;
    },
  });
}

/** @param {import("./index.js").Step} step */
function hintFor({ min, max }) {
  if (min && max) return `A date from ${formatDate(min)} to ${formatDate(max)}.`;
  if (min) return `A date from ${formatDate(min)} on.`;
  return max ? `A date up to ${formatDate(max)}.` : null;
}

/**
 * Return whether two digits of a year were meant, such as 0085 for 1985, unless the step accepts such years.
 *
 * @param {import("./index.js").Step} step
 * @param {string} day YYYY-MM-DD
 */
function hasShortYear(step, day) {
  return day < FIRST_DATE && (typeof step.min !== "string" || step.min >= FIRST_DATE);
}

/** @param {unknown} day YYYY-MM-DD */
function formatDate(day) {
  const parsed = new Date(`${day}T00:00:00`);
  if (Number.isNaN(parsed.getTime())) return String(day);
  return parsed.toLocaleDateString(surveyLanguage(), { dateStyle: "long" });
}

/**
 * @param {string} speech normalized; a month is a name of the survey's language
 * @returns {string | null} YYYY-MM-DD, if the day exists
 */
function parseSpokenDate(speech) {
  const months = monthNames();
  for (const form of SPOKEN_FORMS) {
    const { day = "", month = "", year = "" } = speech.match(form)?.groups ?? {};
    const dayNumber = /^\d{1,2}$/.test(day) ? Number(day) : parseOrdinal(day);
    const monthNumber = months.findIndex((names) => names.includes(month)) + 1;
    if (dayNumber === null || monthNumber === 0) continue;
    return realDate(`${year}-${String(monthNumber).padStart(2, "0")}-${String(dayNumber).padStart(2, "0")}`);
  }
  return realDate(speech);
}

/** @param {string} text */
function realDate(text) {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(text) ? new Date(`${text}T00:00:00Z`) : null;
  if (parsed === null || Number.isNaN(parsed.getTime())) return null;
  return parsed.toISOString().startsWith(text) ? text : null; // 31 February would be a day of March
}

/** Return the names of each month, long and short. */
function monthNames() {
  return Array.from({ length: 12 }, (_, month) =>
    /** @type {const} */ (["long", "short"]).flatMap((style) =>
      [{ month: style }, { month: style, day: /** @type {const} */ ("numeric") }].map((options) => {
        const format = new Intl.DateTimeFormat(surveyLanguage(), { ...options, timeZone: "UTC", calendar: "gregory" });
        const parts = format.formatToParts(Date.UTC(2000, month, 1));
        return normalize(parts.find(({ type }) => type === "month")?.value ?? "");
      }),
    ),
  );
}
