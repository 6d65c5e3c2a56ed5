// @ts-check
/** Functions of dates, which are texts YYYY-MM-DD or YYYY-MM-DDTHH:MM. */

import { fail } from "./no-value.js";

const DATE = /^(\d{4})-(\d{2})-(\d{2})(T[0-2]\d:[0-5]\d)?$/;
const DAY_MS = 86_400_000;

/**
 * Return the full years from one date to another; the birthday of 29 February is 1 March in other years.
 *
 * @param {any} birth
 * @param {any} on
 */
export function age(birth, on) {
  const [born, day] = [parse(birth), parse(on)];
  const isBefore = day.month < born.month || (day.month === born.month && day.day < born.day);
  return day.year - born.year - (isBefore ? 1 : 0);
}

/** @param {any} date */
export function daysOf(date) {
  const { year, month, day } = parse(date);
  return utc(year, month, day).getTime() / DAY_MS;
}

/**
 * Return the date some months and days later; the end of a month is the last that is possible.
 *
 * @param {any} date
 * @param {number} months
 * @param {number} days
 */
export function later(date, months, days) {
  const { year, month, day, time } = parse(date);
  const first = year * 12 + month + months;
  const last = utc(Math.floor(first / 12), mod12(first) + 1, 0).getUTCDate();
  const found = utc(Math.floor(first / 12), mod12(first), Math.min(day, last) + days);
  const foundYear = found.getUTCFullYear();
  if (!(foundYear >= 1 && foundYear <= 9999)) fail();
  return found.toISOString().slice(0, 10) + time;
}

/** @param {number} months */
function mod12(months) {
  return ((months % 12) + 12) % 12;
}

/**
 * @param {number} year
 * @param {number} month from 0
 * @param {number} day
 */
function utc(year, month, day) {
  const date = new Date(0);
  date.setUTCFullYear(year, month, day); // Date.UTC takes the year 85 for 1985
  return date;
}

/** @param {any} date */
function parse(date) {
  const [, year, month, day, time = ""] = (typeof date === "string" ? date.match(DATE) : null) ?? fail();
  const found = { year: Number(year), month: Number(month) - 1, day: Number(day), time };
  const moment = utc(found.year, found.month, found.day);
  const isReal = found.year > 0 && moment.getUTCMonth() === found.month && moment.getUTCDate() === found.day;
  return isReal ? found : fail();
}
