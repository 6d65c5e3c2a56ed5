// @ts-check
/** Formats numbers, percentages, times and durations for people. */

/** Shown for a missing value. */
export const NONE = "–";

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const LANGUAGES = new Intl.DisplayNames("en", { type: "language" });
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });
const SPACE = "\u00a0"; // keeps a number and its unit on one line

/** @param {number | null | undefined} value */
export function formatNumber(value) {
  return value === null || value === undefined ? NONE : NUMBER.format(value);
}

/** @param {number | null | undefined} value 0 to 1 */
export function formatPercent(value) {
  return value === null || value === undefined ? NONE : PERCENT.format(value);
}

/**
 * Format a number with a noun: "1 session", "2 sessions".
 *
 * @param {number} value
 * @param {string} noun singular
 */
export function formatCount(value, noun) {
  return `${formatNumber(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** @param {number | null | undefined} seconds */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 10) return `${NUMBER.format(seconds)}${SPACE}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${SPACE}s`;
  if (whole < 3600) return inTwoUnits(whole, 60, "min", 1, "s");
  if (whole < 86_400) return inTwoUnits(whole, 3600, "h", 60, "min");
  return inTwoUnits(whole, 86_400, "d", 3600, "h");
}

/**
 * Format a time in UTC, to the second.
 *
 * @param {string | null} time RFC 3339
 */
export function formatTime(time) {
  return time === null ? NONE : new Date(time).toISOString().slice(0, 19).replace("T", " ");
}

/** @param {string | null} tag BCP 47 */
export function formatLanguage(tag) {
  if (tag === null) return NONE;
  try {
    return LANGUAGES.of(tag) ?? tag;
  } catch {
    return tag; // not the form of a tag that browsers know
  }
}

/** @param {Date} date shown in the reader's time zone */
export function formatClock(date) {
  return CLOCK.format(date);
}

/**
 * @param {number} seconds
 * @param {number} large seconds in the larger unit
 * @param {string} largeName
 * @param {number} small seconds in the smaller unit
 * @param {string} smallName
 */
function inTwoUnits(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)}${SPACE}${largeName}`;
  return rest === 0 ? first : `${first} ${rest}${SPACE}${smallName}`;
}
