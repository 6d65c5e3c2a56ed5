// @ts-check
/** Numbers, shares, times and spans of time as people read them. */

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const SHARE = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat("en", { timeStyle: "medium", hourCycle: "h23" });
const NOTHING = "–";
const JOIN = "\u00a0"; // a number and its unit stay on one line

/** @param {number | null | undefined} value */
export function count(value) {
  return value === null || value === undefined ? NOTHING : COUNT.format(value);
}

/** @param {number | null | undefined} value of 0 to 1 */
export function share(value) {
  return value === null || value === undefined ? NOTHING : SHARE.format(value);
}

/**
 * The number with its word: "1 session", "2 sessions".
 *
 * @param {number} value
 * @param {string} word
 */
export function counted(value, word) {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}

/** @param {number | null | undefined} seconds */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  if (seconds < 10) return `${COUNT.format(seconds)}${JOIN}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${JOIN}s`;
  if (whole < 3600) return pair(whole, 60, "min", 1, "s");
  if (whole < 86_400) return pair(whole, 3600, "h", 60, "min");
  return pair(whole, 86_400, "d", 3600, "h");
}

/**
 * To the second, in UTC, as the figures count days.
 *
 * @param {string | null} time as REST writes it
 */
export function moment(time) {
  return time === null ? NOTHING : new Date(time).toISOString().slice(0, 19).replace("T", " ");
}

/** @param {Date} date in the reader's own time */
export function clock(date) {
  return CLOCK.format(date);
}

/**
 * @param {number} seconds
 * @param {number} large seconds of the larger unit
 * @param {string} largeName
 * @param {number} small
 * @param {string} smallName
 */
function pair(seconds, large, largeName, small, smallName) {
  const rest = Math.floor((seconds % large) / small);
  const first = `${Math.floor(seconds / large)}${JOIN}${largeName}`;
  return rest === 0 ? first : `${first} ${rest}${JOIN}${smallName}`;
}
