// @ts-check
/** What the operators and functions of expressions do with values. */

import { valueOf } from "../controls/other-texts.js";
import { age, daysOf, later } from "./dates.js";
import { NO_VALUE, fail } from "./no-value.js";

const WHOLE = /^[+-]?\d+$/;
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
const BOOLEANS = new Map([
  ...["1", "t", "true", "TRUE", "True"].map((text) => /** @type {[any, boolean]} */ ([text, true])),
  ...["0", "f", "false", "FALSE", "False"].map((text) => /** @type {[any, boolean]} */ ([text, false])),
]);

/** @type {Map<string, {arity: number | number[], call: (...values: any[]) => any}>} */
export const FUNCTIONS = new Map(
  Object.entries({
    size: { arity: 1, call: size },
    sum: { arity: 1, call: (list) => numbers(list).reduce((sum, one) => finite(sum + one), 0) },
    mean: { arity: 1, call: (list) => finite(numbers(list).reduce((sum, one) => sum + one, 0) / numbers(list).length) },
    minimum: { arity: 1, call: (list) => outermost(list, -1) },
    maximum: { arity: 1, call: (list) => outermost(list, 1) },
    count: { arity: 1, call: (list) => known(list).length },
    floor: { arity: 1, call: (value) => Math.floor(number(value)) },
    ceil: { arity: 1, call: (value) => Math.ceil(number(value)) },
    abs: { arity: 1, call: (value) => Math.abs(number(value)) },
    mod: { arity: 2, call: (a, b) => finite(number(a) % number(b)) },
    round: { arity: [1, 2], call: (value, digits = 0) => round(number(value), number(digits)) },
    string: { arity: 1, call: written },
    double: { arity: 1, call: (value) => (typeof value === "string" && NUMBER.test(value) ? finite(Number(value)) : number(value)) },
    int: { arity: 1, call: (value) => truncated(typeof value === "string" && WHOLE.test(value) ? Number(value) : number(value)) },
    bool: { arity: 1, call: (value) => (typeof value === "boolean" ? value : (BOOLEANS.get(value) ?? fail())) },
    age: { arity: 2, call: age },
    days_between: { arity: 2, call: (first, second) => daysOf(second) - daysOf(first) },
    add_days: { arity: 2, call: (date, count) => later(date, 0, whole(count)) },
    add_months: { arity: 2, call: (date, count) => later(date, whole(count), 0) },
    add_years: { arity: 2, call: (date, count) => later(date, 12 * whole(count), 0) },
  }),
);

/** @type {Map<string, (value: any, ...others: any[]) => any>} */
export const METHODS = new Map(
  Object.entries({
    size: (value, ...others) => (others.length === 0 ? size(value) : fail()),
    startsWith: (value, part) => string(value).startsWith(string(part)),
    endsWith: (value, part) => string(value).endsWith(string(part)),
    contains: (value, part) => string(value).includes(string(part)),
  }),
);

/**
 * @param {string} sign
 * @param {any} a
 * @param {any} b
 */
export function calculate(sign, a, b) {
  if (sign === "==") return isEqual(a, b);
  if (sign === "!=") return !isEqual(a, b);
  if (sign === "in") return Array.isArray(b) ? b.some((one) => isEqual(one, a)) : isMap(b) ? Object.hasOwn(b, a) : fail();
  if (sign === "+") return finite(number(a) + number(b));
  if (sign === "-") return finite(number(a) - number(b));
  if (sign === "*") return finite(number(a) * number(b));
  if (sign === "/") return finite(number(a) / number(b));
  const order = compare(a, b);
  return sign === "<" ? order < 0 : sign === "<=" ? order <= 0 : sign === ">" ? order > 0 : order >= 0;
}

/**
 * Combine conditions: one without a value does not count if another decides.
 *
 * @param {(() => any)[]} conditions
 * @param {boolean} deciding
 */
export function decide(conditions, deciding) {
  let isCertain = true;
  for (const condition of conditions) {
    try {
      if (boolean(condition()) === deciding) return deciding;
    } catch (error) {
      if (error !== NO_VALUE) throw error;
      isCertain = false;
    }
  }
  return isCertain ? !deciding : fail();
}

/**
 * Order numbers, or texts by code points.
 *
 * @param {any} a
 * @param {any} b
 * @returns {number}
 */
function compare(a, b) {
  if (typeof a !== typeof b || !["number", "string", "boolean"].includes(typeof a)) return fail();
  if (typeof a !== "string") return a - b;
  const [first, second] = [[...a], [...b]];
  const n = first.findIndex((character, place) => character !== second[place]);
  if (n < 0) return first.length - second.length;
  return n in second ? /** @type {number} */ (first[n].codePointAt(0)) - /** @type {number} */ (second[n].codePointAt(0)) : 1;
}

/**
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
function isEqual(a, b) {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, n) => isEqual(one, b[n]));
  if (!isMap(a) || !isMap(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isEqual(a[name], b[name]));
}

/**
 * @param {any} value
 * @param {string | number} key
 */
export function entry(value, key) {
  const isIndex = Array.isArray(value) ? typeof key === "number" : isMap(value) && typeof key === "string";
  return isIndex && Object.hasOwn(value, key) ? value[key] : fail();
}

/** @param {any} value */
export function keys(value) {
  return Array.isArray(value) ? value : isMap(value) ? Object.keys(value) : fail();
}

/** @param {any} value */
function size(value) {
  return typeof value === "string" ? [...value].length : keys(value).length;
}

/** @param {any} value */
export function isAnswered(value) {
  return value !== null && value !== "" && !(Array.isArray(value) && value.length === 0);
}

/**
 * Return the participant's own text in an answer; null if there is none.
 *
 * @param {any} answer
 */
export function ownText(answer) {
  return (Array.isArray(answer) ? answer : [answer]).find((one) => isMap(one) && typeof one.text === "string" && "value" in one)?.text ?? null;
}

/**
 * Return an answer as conditions read it: options with other texts are their values.
 *
 * @param {any} answer
 */
export function plain(answer) {
  return Array.isArray(answer) ? answer.map(valueOf) : valueOf(answer);
}

/** @param {any} value */
export function isMap(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {any} list @returns {number[]} */
function numbers(list) {
  return Array.isArray(list) ? list.filter((one) => one !== null).map(number) : fail();
}

/**
 * Return the items that are not null; at least one.
 *
 * @param {any} list
 * @returns {any[]}
 */
function known(list) {
  const items = Array.isArray(list) ? list.filter((one) => one !== null) : [];
  return items.length > 0 ? items : fail();
}

/**
 * @param {any} list of numbers or texts
 * @param {1 | -1} sign of the order of the item to return and the others
 */
function outermost(list, sign) {
  const items = known(list);
  if (typeof items[0] === "boolean") fail();
  return items.reduce((a, b) => (compare(b, a) * sign > 0 ? b : a), items[0]);
}

/** @param {any} value @returns {number} */
export function number(value) {
  return typeof value === "number" ? value : fail();
}

/** @param {any} value @returns {string} */
export function string(value) {
  return typeof value === "string" ? value : fail();
}

/** @param {any} value @returns {boolean} */
export function boolean(value) {
  return typeof value === "boolean" ? value : fail();
}

/** @param {any} value @returns {number} */
export function whole(value) {
  return Number.isInteger(value) ? value : fail();
}

/**
 * Return a value as text, a number as ECMAScript writes it.
 *
 * @param {any} value
 */
function written(value) {
  return typeof value === "number" || typeof value === "boolean" ? String(value) : string(value);
}

/** @param {number} value */
function truncated(value) {
  return Math.abs(Math.trunc(value)) <= 2 ** 63 ? Math.trunc(value) + 0 : fail();
}

/**
 * Round the decimal number that is written, half away from zero: 2.675 becomes 2.68.
 *
 * @param {number} value
 * @param {number} digits
 */
function round(value, digits) {
  const [mantissa, exponent = "0"] = String(Math.abs(value)).split("e");
  const [units, decimals = ""] = mantissa.split(".");
  const kept = units.length + Number(exponent) + whole(digits); // of the digits that are written
  const written = units + decimals;
  if (kept >= written.length) return value;
  if (kept < 0) return 0;
  const isUp = written[kept] >= "5";
  const rounded = Number(`${BigInt(written.slice(0, kept) || "0") + BigInt(isUp)}e${-digits}`);
  return finite(value < 0 ? 0 - rounded : rounded);
}

/** @param {number} value */
export function finite(value) {
  return Number.isFinite(value) ? value : fail();
}
