// @ts-check
/** Dates as people say them: in the forms of English, and in the form that a long date has in the page's language. */

import { surveyLanguage } from "../language.js";
import { normalize, parseOrdinal, withoutFirst } from "./speech.js";

const SPOKEN_FORMS = [
  /^(?:the )?(?<day>\S+) (?:of )?(?<month>\D+) (?<year>\d{4})$/, // 3 May 1980, the 3rd of May 1980
  /^(?<month>\D+) (?:the )?(?<day>\S+) (?<year>\d{4})$/, // May 3rd, 1980
];

/** Patterns of the parts of a date, by their type in `Intl`. */
const PARTS = new Map([
  ["day", "(?<day>\\d{1,2}(?!\\d)\\p{L}{0,4}|\\p{L}+)"],
  ["month", "(?<month>\\d{1,2}(?!\\d)|\\D+?)"],
  ["year", "(?<year>\\d{4})"],
]);

/**
 * @param {string} speech normalized; a month is a name of the page's language
 * @returns {string | null} YYYY-MM-DD, if the day exists
 */
export function parseSpokenDate(speech) {
  const months = monthNames();
  const isEnglish = surveyLanguage().startsWith("en");
  const spoken = isEnglish ? speech : withoutFirst(speech, "voice.before_ordinal");
  for (const form of isEnglish ? SPOKEN_FORMS : [...SPOKEN_FORMS, ownForm()]) {
    const { day = "", month = "", year = "" } = spoken.match(form)?.groups ?? {};
    const dayNumber = /^\d{1,2}$/.test(day) ? Number(day) : parseOrdinal(day);
    const monthNumber = months.findIndex((names) => names.includes(month)) + 1;
    if (dayNumber === null || monthNumber === 0) continue;
    return realDate(`${year}-${String(monthNumber).padStart(2, "0")}-${String(dayNumber).padStart(2, "0")}`);
  }
  return realDate(speech);
}

/**
 * @param {string} speech normalized
 * @returns {string | null} YYYY-MM
 */
export function parseSpokenMonth(speech) {
  for (const form of [/^(?<month>\D+?)(?: of)? (?<year>\d{4})$/, ownForm({ month: "long", year: "numeric" })]) {
    const { month = "", year = "" } = speech.match(form)?.groups ?? {};
    const number = monthNames().findIndex((names) => names.includes(month)) + 1;
    if (number > 0) return `${year}-${String(number).padStart(2, "0")}`;
  }
  return /^\d{4}-(0[1-9]|1[0-2])$/.test(speech) ? speech : null;
}

/**
 * Return the pattern of a long date in the page's language, such as "3 de mayo de 1980".
 *
 * @param {Intl.DateTimeFormatOptions} [options]
 */
function ownForm(options = { dateStyle: "long" }) {
  const format = new Intl.DateTimeFormat(surveyLanguage(), { ...options, calendar: "gregory" });
  const parts = format.formatToParts(0).map(({ type, value }) => PARTS.get(type) ?? `\\s*${escaped(normalize(value))}\\s*`);
  return new RegExp(`^${parts.join("")}$`, "u");
}

/** @param {string} literal */
function escaped(literal) {
  return literal.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}

/** @param {string} day */
function realDate(day) {
  const parsed = /^\d{4}-\d{2}-\d{2}$/.test(day) ? new Date(`${day}T00:00:00Z`) : null;
  if (parsed === null || Number.isNaN(parsed.getTime())) return null;
  return parsed.toISOString().startsWith(day) ? day : null; // 31 February would be a day of March
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
