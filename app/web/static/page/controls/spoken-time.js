// @ts-check
/** Times of the day as people say them: in digits in every language, in words in English. */

import { surveyLanguage } from "../language.js";
import { phrases } from "../texts.js";
import { isPhrase, normalize, parseSpokenNumber, withoutFirst, withoutLast } from "./speech.js";
import { parseSpokenDate } from "./spoken-date.js";

const HALVES = /** @type {const} */ (["am", "pm"]);

/**
 * @param {string} speech normalized: a date, and a time after it
 * @returns {string | null} YYYY-MM-DDTHH:MM
 */
export function parseSpokenDatetime(speech) {
  const words = speech.split(" ");
  for (let end = words.length - 1; end > 0; end -= 1) {
    const day = parseSpokenDate(words.slice(0, end).join(" "));
    const time = day === null ? null : parseSpokenTime(withoutFirst(words.slice(end).join(" "), "voice.before_time"));
    if (time !== null) return `${day}T${time}`;
  }
  return null;
}

/**
 * @param {string} speech normalized, e.g. 7 30 p m; without a.m. or p.m. the hour is one of 24
 * @returns {string | null} HH:MM
 */
export function parseSpokenTime(speech) {
  if (isPhrase("voice.noon", speech)) return "12:00";
  if (isPhrase("voice.midnight", speech)) return "00:00";
  const half = HALVES.find((name) => withoutHalf(speech, name) !== speech);
  const said = half === undefined ? speech : withoutHalf(speech, half);
  const [hour, minute] = hourAlone(said, half !== undefined) ?? digits(said) ?? englishWords(said) ?? [-1, -1];
  if (half !== undefined && (hour < 1 || hour > 12)) return null;
  const hours = half === undefined ? hour : (hour % 12) + (half === "pm" ? 12 : 0);
  if (hours < 0 || hours > 23 || minute < 0 || minute > 59) return null;
  return `${String(hours).padStart(2, "0")}:${String(minute).padStart(2, "0")}`;
}

/**
 * @param {string} speech
 * @param {"am" | "pm"} half
 */
function withoutHalf(speech, half) {
  return withoutLast(withoutFirst(speech, `voice.${half}`), `voice.${half}`);
}

/**
 * @param {string} said
 * @param {boolean} isHour whether a number alone is an hour
 * @returns {[number, number] | null} hour and minute
 */
function hourAlone(said, isHour) {
  const without = withoutLast(said, "voice.oclock");
  const hour = isHour || without !== said ? parseSpokenNumber(without, { integer: true }) : null;
  return hour === null ? null : [hour, 0];
}

/**
 * @param {string} said e.g. 7 30, 7.30, 19 uhr 30
 * @returns {[number, number] | null}
 */
function digits(said) {
  const between = phrases("voice.oclock").map((phrase) => normalize(phrase).replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const [, hour, mark, minute] = withoutLast(said, "voice.minutes").match(new RegExp(`^(\\d{1,2})( ?(?:${["[. ]", ...between].join("|")}) ?)(\\d{1,2})$`)) ?? [];
  const isMinute = minute?.length === 2 || (mark !== undefined && !/^[. ]+$/.test(mark));
  return isMinute ? [Number(hour), Number(minute)] : null;
}

/**
 * @param {string} said e.g. half past seven, quarter to eight, seven oh five
 * @returns {[number, number] | null}
 */
function englishWords(said) {
  if (!surveyLanguage().startsWith("en")) return null;
  const number = (/** @type {string} */ words) => parseSpokenNumber(words, { integer: true });
  const [, amount = "", side, base = ""] = said.match(/^(?:a )?(.+?) (past|to) (.+)$/) ?? [];
  if (side !== undefined) {
    const named = new Map([["quarter", 15], ["half", 30]]).get(amount) ?? number(amount.replace(/ minutes?$/, ""));
    const hour = number(base);
    if (named === null || hour === null) return null;
    return side === "past" ? [hour, named] : [(hour + 23) % 24, 60 - named];
  }
  const [first, ...rest] = said.split(" ");
  const isShort = /^(oh|o)$/.test(rest[0] ?? "");
  const [hour, minute] = [number(first), number(rest.slice(isShort ? 1 : 0).join(" "))];
  return hour !== null && minute !== null && (isShort || minute >= 10) ? [hour, minute] : null;
}
