// @ts-check

/** Thrown by an expression that has no value. */
export const NO_VALUE = Symbol("no value");

/** @returns {never} */
export function fail() {
  throw NO_VALUE;
}
