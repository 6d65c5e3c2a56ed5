// @ts-check
/**
 * What the server refuses in a message, found before a command is stored: it could never leave the outbox otherwise.
 * The rules are those of `app/core/strict_json.py` (docs/protocol.md#json). No side effects.
 */

import { MAX_MESSAGE_BYTES } from "./protocol.js";

const MAX_DEPTH = 32; // of a value
const UNSTORABLE = /\0|\p{Surrogate}/u; // half of a surrogate pair, for example of an emoji cut in two
const SHOWN_CHARACTERS = 30;

/** @typedef {import("./client.js").Describe} Describe */

const IN_ENGLISH = new Map(
  Object.entries({
    not_json: "This answer can't be sent, because it is not JSON.",
    too_deep: "This answer can't be sent, because it is nested deeper than {depth}.",
    character: "This answer has a character that can't be saved, after “{before}”. Please delete it, or write that part again.",
    first_character:
      "This answer has a character that can't be saved, at its start. Please delete it, or write that part again.",
    number: "This number is too large to be saved exactly. Please enter one with at most 15 digits.",
    too_long: "This answer is too long to be sent. Please shorten it.",
  }),
);

/** @type {Describe} */
export function describeInEnglish(problem, values) {
  return (IN_ENGLISH.get(problem) ?? problem).replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/**
 * @param {object} message
 * @param {Describe} [describe]
 * @returns {string | null} for the participant: why the message can't be sent, and what to do
 */
export function sendProblem(message, describe = describeInEnglish) {
  return valueProblem(message, MAX_DEPTH + 1, describe) ?? sizeProblem(message, describe);
}

/**
 * @param {unknown} value
 * @param {number} maxDepth
 * @param {Describe} describe
 * @returns {string | null}
 */
function valueProblem(value, maxDepth, describe) {
  if (value === null || typeof value === "boolean") return null;
  if (typeof value === "string") return textProblem(value, describe);
  if (typeof value === "number") return isExact(value) ? null : describe("number", {});
  if (!Array.isArray(value) && Object.prototype.toString.call(value) !== "[object Object]") {
    return describe("not_json", {});
  }
  if (maxDepth === 0) return describe("too_deep", { depth: MAX_DEPTH });
  const object = /** @type {object} */ (value);
  const items = Array.isArray(object) ? [...object] : Object.entries(object).flat(); // keys are checked as texts
  for (const item of items) {
    const problem = valueProblem(item, maxDepth - 1, describe);
    if (problem !== null) return problem;
  }
  return null;
}

/**
 * @param {string} text
 * @param {Describe} describe
 */
function textProblem(text, describe) {
  const index = text.search(UNSTORABLE);
  if (index < 0) return null;
  const before = [...text.slice(0, index).trim()].slice(-SHOWN_CHARACTERS).join("");
  return before === "" ? describe("first_character", {}) : describe("character", { before });
}

/**
 * Whole numbers from 2^53 on may have been rounded before they came here.
 *
 * @param {number} number
 */
function isExact(number) {
  return Number.isFinite(number) && (Number.isSafeInteger(number) || !Number.isInteger(number));
}

/**
 * @param {object} message
 * @param {Describe} describe
 */
function sizeProblem(message, describe) {
  const sizeBytes = new TextEncoder().encode(JSON.stringify(message)).length;
  return sizeBytes > MAX_MESSAGE_BYTES ? describe("too_long", {}) : null;
}
