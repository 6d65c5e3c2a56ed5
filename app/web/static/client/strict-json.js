// @ts-check
/**
 * What the server refuses in a message, found before a command is stored: it could never leave the outbox otherwise.
 * The rules are those of `app/core/strict_json.py` (docs/protocol.md#json). No side effects.
 */

import { MAX_MESSAGE_BYTES } from "./protocol.js";

const MAX_DEPTH = 32; // of a value
const UNSTORABLE = /\0|\p{Surrogate}/u; // half of a surrogate pair, for example of an emoji cut in two
const SHOWN_CHARACTERS = 30;

/**
 * @param {object} message
 * @returns {string | null} for the participant: why the message can't be sent, and what to do
 */
export function sendProblem(message) {
  return valueProblem(message, MAX_DEPTH + 1) ?? sizeProblem(message);
}

/**
 * @param {unknown} value
 * @param {number} maxDepth
 * @returns {string | null}
 */
function valueProblem(value, maxDepth) {
  if (value === null || typeof value === "boolean") return null;
  if (typeof value === "string") return textProblem(value);
  if (typeof value === "number") return numberProblem(value);
  if (!Array.isArray(value) && Object.prototype.toString.call(value) !== "[object Object]") {
    return "This answer can't be sent, because it is not JSON.";
  }
  if (maxDepth === 0) return `This answer can't be sent, because it is nested deeper than ${MAX_DEPTH}.`;
  const object = /** @type {object} */ (value);
  const items = Array.isArray(object) ? [...object] : Object.entries(object).flat(); // keys are checked as texts
  for (const item of items) {
    const problem = valueProblem(item, maxDepth - 1);
    if (problem !== null) return problem;
  }
  return null;
}

/** @param {string} text */
function textProblem(text) {
  const index = text.search(UNSTORABLE);
  if (index < 0) return null;
  const before = [...text.slice(0, index).trim()].slice(-SHOWN_CHARACTERS).join("");
  const place = before === "" ? "at its start" : `after “${before}”`;
  return `This answer has a character that can't be saved, ${place}. Please delete it, or write that part again.`;
}

/**
 * Whole numbers from 2^53 on may have been rounded before they came here.
 *
 * @param {number} number
 */
function numberProblem(number) {
  const isExact = Number.isFinite(number) && (Number.isSafeInteger(number) || !Number.isInteger(number));
  return isExact ? null : "This number is too large to be saved exactly. Please enter one with at most 15 digits.";
}

/** @param {object} message */
function sizeProblem(message) {
  const sizeBytes = new TextEncoder().encode(JSON.stringify(message)).length;
  return sizeBytes > MAX_MESSAGE_BYTES ? "This answer is too long to be sent. Please shorten it." : null;
}
