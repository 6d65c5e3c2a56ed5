// @ts-check
/** Step types `email` and `phone`. */

import { make } from "../../dom.js";
import { phrases, text } from "../texts.js";
import { createFieldControl } from "./field.js";
import { asciiDigits } from "./numerals.js";
import { normalize, parseSpokenNumber } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

const ATOM = "[\\p{L}\\p{N}_!#$%&'*+/=?^`{|}~-]+";
const LABEL = "[\\p{L}\\p{N}](?:[\\p{L}\\p{N}_-]{0,61}[\\p{L}\\p{N}])?";
const EMAIL = new RegExp(`^(?![^@]{65})${ATOM}(?:\\.${ATOM})*@(?:${LABEL}\\.)+${LABEL}$`, "u"); // as the server's
const EMAIL_LENGTH = 254;
const PHONE = /^\+\d{6,15}$/;
const NOT_STORED = /[\s.()[\]\u2010-\u2015-]/g;

/** @type {import("./index.js").StepType} */
export const email = {
  takesAnswer: true,
  createControl: (step) => createControl(step, "email", (input) => input.trim(), isEmail),
  formatAnswer: (_step, value) => (typeof value === "string" ? value : null),
  parseSpeech: (_step, transcript) => parseSpokenEmail(transcript),
};

/** @type {import("./index.js").StepType} */
export const phone = {
  takesAnswer: true,
  createControl: (step) => createControl(step, "phone", plainNumber, (number) => PHONE.test(number)),
  formatAnswer: (_step, value) => (typeof value === "string" ? leftToRight(value) : null),
  parseSpeech: (_step, transcript) => parseSpokenPhone(transcript),
};

/**
 * @param {Step} step
 * @param {"email" | "phone"} name
 * @param {(input: string) => string} parse
 * @param {(value: string) => boolean} isValid
 */
function createControl(step, name, parse, isValid) {
  const type = name === "phone" ? "tel" : name;
  const isShared = document.getElementById("kiosk") !== null; // the next person must not be offered the address
  const field = make("input", {
    id: "answer",
    type,
    inputmode: type,
    autocomplete: isShared ? "off" : type,
    autocapitalize: "off",
    spellcheck: "false",
    dir: "ltr",
  });
  return createFieldControl(step, field, [field], {
    hint: text(`controls.${name}.hint`),
    show: (value) => {
      field.value = typeof value === "string" ? value : "";
    },
    parse,
    validate: (input) => (isValid(parse(input)) ? null : text(`controls.${name}.problem`)),
  });
}

/** @param {string} address */
function isEmail(address) {
  return address.length <= EMAIL_LENGTH && EMAIL.test(address);
}

/** @param {string} input */
function plainNumber(input) {
  return asciiDigits(input.replace(/\p{Cf}/gu, "")).replace(NOT_STORED, "").replace(/^[＋﹢]/, "+");
}

/**
 * Keep the sign before the digits on a page that runs from right to left.
 *
 * @param {string} number
 */
function leftToRight(number) {
  return document.documentElement.dir === "rtl" ? `\u2066${number}\u2069` : number;
}

/**
 * @param {string} transcript e.g. ann at example dot org; letters may be spelled
 * @returns {string | null}
 */
function parseSpokenEmail(transcript) {
  let speech = transcript.toLowerCase().trim().replace(/[.!?؟。]+$/, "");
  const signs = /** @type {const} */ ([["@", "at"], [".", "dot"], ["-", "dash"], ["_", "underscore"], ["+", "plus"]]);
  for (const [sign, name] of signs) {
    for (const phrase of phrases(`voice.${name}`)) speech = speech.split(` ${phrase} `).join(sign);
  }
  const parts = speech.replace(/ ?@ ?/, "@").split(/([@._+-])/).map(spelled);
  const address = parts.join("");
  return !parts.includes(null) && isEmail(address) ? address : null;
}

/** @param {string} part one word, or letters and digits that are spelled */
function spelled(part) {
  const words = part.split(/\s+/);
  return words.length === 1 || words.every((word) => [...word].length === 1) ? words.join("") : null;
}

/**
 * @param {string} transcript e.g. plus 49 30 123 45 67, or digit by digit
 * @returns {string | null}
 */
function parseSpokenPhone(transcript) {
  const speech = normalize(transcript).replace(/^\+ ?/, "+ ");
  const plus = ["+", ...phrases("voice.plus")].find((phrase) => speech.startsWith(`${phrase} `));
  if (plus === undefined) return null;
  const digits = speech.slice(plus.length + 1).split(/[\s.-]+/).map((word) => (/^\d+$/.test(word) ? word : spokenDigit(word)));
  const number = `+${digits.join("")}`;
  return !digits.includes(null) && PHONE.test(number) ? number : null;
}

/** @param {string} word */
function spokenDigit(word) {
  const digit = parseSpokenNumber(word, { integer: true });
  return digit !== null && digit >= 0 && digit <= 9 ? String(digit) : null;
}
