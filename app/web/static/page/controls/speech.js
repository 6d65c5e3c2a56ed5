// @ts-check
/**
 * Shared parsing of speech, which is understood as a whole or not at all: no word is skipped. Words for numbers are
 * understood in English, digits in every language, as recognition returns them.
 */

import { surveyLanguage } from "../language.js";
import { phrases } from "../texts.js";
import { asciiDigits, exactNumber, readings } from "./numerals.js";

const UNITS = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
  "seventeen eighteen nineteen"
).split(" ");
const TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const MAGNITUDES = /** @type {[string, number][]} */ ([["billion", 9], ["million", 6], ["thousand", 3], ["hundred", 2]]);

const MARKS = /[\u0591-\u05c7\u0640\u064b-\u0652\u0670]/g; // vowels of Hebrew and Arabic, which few people write
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;

/**
 * Lower the case, drop punctuation except signs and decimal marks, and collapse white space.
 *
 * @param {string} text
 */
export function normalize(text) {
  return asciiDigits(text.toLocaleLowerCase(surveyLanguage()))
    .replace(MARKS, "")
    .replace(/[أإآ]/g, "ا")
    .replace(/’/g, "'")
    .replace(/[.,](?!\d)|[!?;:"“”„«»()…¿¡/؟،؛、。]/g, " ")
    .replace(/(\p{L})[-‐‑–](?=\p{L})/gu, "$1 ")
    .replace(/\s+/g, " ")
    .trim();
}

/**
 * Whether a transcript is one of the phrases of a key.
 *
 * @param {string} key
 * @param {string} speech normalized
 */
export function isPhrase(key, speech) {
  return phrases(key).some((phrase) => normalize(phrase) === speech);
}

/** Return the language's word for "and", and whether it is written as the beginning of the next word. */
export function and() {
  const [, { value }] = new Intl.ListFormat(surveyLanguage()).formatToParts(["1", "2"]);
  const connector = normalize(value.replace("-", "")); // Hebrew has it before digits
  return { connector, isPrefix: connector !== "" && !value.endsWith(" ") };
}

/**
 * Return the rest of what was said, without one of the phrases that may come before it.
 *
 * @param {string} speech normalized
 * @param {string} key of the phrases
 */
export function withoutFirst(speech, key) {
  const first = phrases(key).map((phrase) => normalize(phrase) + gapAfter(phrase));
  const said = first.find((phrase) => speech.startsWith(phrase)) ?? "";
  return speech.slice(said.length).trimStart();
}

/**
 * Return the rest of what was said, without one of the phrases that may follow it.
 *
 * @param {string} speech normalized
 * @param {string} key of the phrases
 */
export function withoutLast(speech, key) {
  const last = phrases(key).map((phrase) => gapAfter(phrase) + normalize(phrase));
  const said = last.find((phrase) => speech.endsWith(phrase)) ?? "";
  return speech.slice(0, speech.length - said.length).trimEnd();
}

/** @param {string} phrase Chinese and Japanese are written without spaces between words */
function gapAfter(phrase) {
  return UNSPACED.test(phrase) ? "" : " ";
}

/**
 * @param {string} transcript
 * @param {{unit?: string | null, integer?: boolean}} step its unit may follow the number
 * @returns {number | null} e.g. 72.5 for "72.5 kilograms" if the unit is kg, 21 for "twenty one"; null if a part is not
 *   understood, or can be meant in two ways
 */
export function parseSpokenNumber(transcript, { unit, integer = false }) {
  const speech = withoutUnit(transcript.trim().toLowerCase().replace(/[.,!?؟。]+$/, ""), unit);
  const isEnglish = surveyLanguage().startsWith("en");
  const [, sign, amount] = speech.match(/^(?:(minus|negative|plus) )?(.*)$/s) ?? [];
  if (sign !== undefined && (!isEnglish || /^[-+−]/.test(amount))) return null;
  const text = readDigits(amount, integer) ?? (isEnglish ? readWords(amount, integer) : null);
  const value = text === null ? null : exactNumber(text);
  return value !== null && sign !== undefined && sign !== "plus" ? -value : value;
}

/**
 * @param {string} word normalized
 * @returns {number | null} e.g. 2 for "second" and "2nd"
 */
export function parseOrdinal(word) {
  const [, digits, ending] = word.match(/^(\d{1,2})(.*)$/s) ?? [];
  if (ending !== undefined && phrases("voice.ordinal_endings").includes(ending.trim())) return Number(digits) || null;
  const index = phrases("voice.ordinals").findIndex((forms) => forms.split("|").map(normalize).includes(word));
  return index < 0 ? null : index + 1;
}

/**
 * @param {string} text
 * @param {boolean} isWhole
 */
function readDigits(text, isWhole) {
  const meant = readings(text, [surveyLanguage()], isWhole);
  return meant.length === 1 ? meant[0] : null;
}

/**
 * @param {string} speech
 * @param {boolean} isWhole
 * @returns {string | null} digits, e.g. "1500000" for "1.5 million"
 */
function readWords(speech, isWhole) {
  const words = speech.replace(/([a-z])-(?=[a-z])/g, "$1 ").split(" ");
  const factor = MAGNITUDES.find(([name]) => name === words[words.length - 1]);
  const amount = factor === undefined || words.length !== 2 ? null : readDigits(words[0], false);
  if (amount !== null && factor !== undefined) return scaled(amount, factor[1], isWhole);
  const point = words.indexOf("point");
  const whole = readCardinal(point < 0 ? words : words.slice(0, point));
  if (whole === null || point < 0) return whole === null ? null : String(whole);
  const decimals = words.slice(point + 1).map((word) => (/^\d$/.test(word) ? Number(word) : UNITS.indexOf(word)));
  const areDigits = decimals.length > 0 && decimals.every((digit) => digit >= 0 && digit <= 9);
  return areDigits && !isWhole ? `${whole}.${decimals.join("")}` : null;
}

/**
 * Multiply digits by a power of ten, without rounding.
 *
 * @param {string} digits
 * @param {number} power
 * @param {boolean} isWhole
 */
function scaled(digits, power, isWhole) {
  const [whole, decimals = ""] = digits.split(".");
  const text = whole + decimals.slice(0, power).padEnd(power, "0");
  const rest = decimals.slice(power);
  return rest === "" ? text : isWhole ? null : `${text}.${rest}`;
}

/**
 * @param {string[]} words
 * @returns {number | null} null unless every word is part of one whole number
 */
function readCardinal(words) {
  for (const [name, power] of MAGNITUDES) {
    const at = words.indexOf(name);
    if (at >= 0) return readMultiple(words.slice(0, at), 10 ** power, words.slice(at + 1));
  }
  const [first, second] = words;
  const [ten, unit] = [TENS.indexOf(first, 2), UNITS.indexOf(second, 1)];
  if (words.length === 1) return ten >= 0 ? ten * 10 : UNITS.includes(first) ? UNITS.indexOf(first) : null;
  return words.length === 2 && ten >= 0 && unit >= 0 && unit <= 9 ? ten * 10 + unit : null;
}

/**
 * @param {string[]} before
 * @param {number} factor
 * @param {string[]} after
 */
function readMultiple(before, factor, after) {
  const count = before.join(" ") === "a" ? 1 : readCardinal(before);
  const rest = after.length === 0 ? null : readCardinal(after[0] === "and" ? after.slice(1) : after);
  if (!count || count >= (factor === 100 ? 100 : 1000)) return null;
  if (after.length === 0) return count * factor;
  return rest && rest < factor ? count * factor + rest : null;
}

/**
 * @param {string} speech
 * @param {string | null} [unit]
 */
function withoutUnit(speech, unit) {
  const name = (unit ? unitNames(unit.toLowerCase()) : []).find((one) => speech.endsWith(one));
  const amount = name === undefined ? "" : speech.slice(0, -name.length);
  return /[\d\s]$/u.test(asciiDigits(amount)) ? amount.trim() : speech;
}

/**
 * Return a unit's names in the survey's language, longest first, if `Intl` knows the unit: kilograms for kg.
 *
 * @param {string} unit
 */
function unitNames(unit) {
  const known = Intl.supportedValuesOf?.("unit") ?? [];
  const names = known.map(namesOf).find((forms) => forms.includes(unit)) ?? [];
  return [...names, unit].sort((a, b) => b.length - a.length);
}

/** @param {string} unit of `Intl` */
function namesOf(unit) {
  return /** @type {const} */ (["long", "short"]).flatMap((unitDisplay) => {
    const format = new Intl.NumberFormat(surveyLanguage(), { style: "unit", unit, unitDisplay });
    return [1, 2, 5].map((count) => format.formatToParts(count).find(({ type }) => type === "unit")?.value.toLowerCase() ?? "");
  });
}
