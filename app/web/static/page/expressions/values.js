// @ts-check
/** What the operators and functions of expressions do with values. */

import { valueOf } from "../controls/other-texts.js";

/** Thrown by an expression that has no value. */
export const NO_VALUE = Symbol("no value");

/** @type {Map<string, {arity: number, call: (...values: any[]) => any}>} */
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
 * Return an answer as conditions read it: options with other texts are their values.
 *
 * @param {any} answer
 */
export function plain(answer) {
  return Array.isArray(answer) ? answer.map(valueOf) : valueOf(answer);
}

/** @param {any} value */
function isMap(value) {
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
function string(value) {
  return typeof value === "string" ? value : fail();
}

/** @param {any} value @returns {boolean} */
export function boolean(value) {
  return typeof value === "boolean" ? value : fail();
}

/** @param {number} value */
export function finite(value) {
  return Number.isFinite(value) ? value : fail();
}

/** @returns {never} */
export function fail() {
  throw NO_VALUE;
}
