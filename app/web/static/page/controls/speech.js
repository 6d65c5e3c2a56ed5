// @ts-check
/** What was said, as an answer to a step or as a word that steers. Pure. English words, any digits. */

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 * @typedef {import("../../client/protocol.js").Step} Step
 * @typedef {{steer: "next" | "back" | "repeat" | "skip"} | {value: Json} | null} Understood
 */

/** @type {Record<string, "next" | "back" | "repeat" | "skip">} */
const STEERING = {
  next: "next", continue: "next", "go on": "next", ok: "next", okay: "next",
  back: "back", "go back": "back", previous: "back",
  repeat: "repeat", again: "repeat", "say again": "repeat", "say that again": "repeat",
  skip: "skip", "skip this": "skip",
};
const YES = new Set(["yes", "yeah", "yep", "yes i do", "yes i have", "true"]);
const NO = new Set(["no", "nope", "no i don't", "no i do not", "no i haven't", "false"]);
const SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(" ");
const TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split(" ");

/**
 * @param {Step} step
 * @param {string} heard
 * @returns {Understood} null where it fits neither
 */
export function understand(step, heard) {
  const said = normal(heard);
  if (said in STEERING && !(step.options ?? []).some((option) => normal(option.label) === said)) return { steer: STEERING[said] };
  const value = valueOf(step, said, heard.trim());
  return value === null ? null : { value };
}

/**
 * @param {Step} step
 * @param {string} said
 * @param {string} heard
 * @returns {Json}
 */
function valueOf(step, said, heard) {
  switch (step.type) {
    case "boolean":
      return YES.has(said) ? true : NO.has(said) ? false : null;
    case "choice":
      return bestOption(step, said);
    case "choices":
      return allOptions(step, said);
    case "scale":
    case "number":
      return spokenNumber(said);
    case "date":
      return spokenDate(heard);
    case "text":
      return heard === "" ? null : heard;
    default:
      return null;
  }
}

/**
 * The option that was named: by its label, else by its place ("two", "number two").
 *
 * @param {Step} step
 * @param {string} said
 */
function bestOption(step, said) {
  const options = step.options ?? [];
  const exact = options.find((option) => normal(option.label) === said);
  const within = options
    .filter((option) => ` ${said} `.includes(` ${normal(option.label)} `))
    .sort((one, other) => other.label.length - one.label.length)[0];
  const place = spokenNumber(said.replace(/^(number|option|answer) /, ""));
  return (exact ?? within ?? (place === null ? undefined : options[place - 1]))?.value ?? null;
}

/**
 * @param {Step} step
 * @param {string} said
 */
function allOptions(step, said) {
  const named = (step.options ?? []).filter((option) => ` ${said} `.includes(` ${normal(option.label)} `));
  return named.length === 0 ? null : named.map((option) => option.value);
}

/**
 * @param {string} said
 * @returns {number | null} e.g. 72.5 of "72.5 kilograms", 21 of "twenty one"
 */
function spokenNumber(said) {
  const digits = said.match(/-?\d+([.,]\d+)?/);
  if (digits) return Number(digits[0].replace(",", "."));
  let total = 0;
  let hasAny = false;
  for (const word of said.split(/[ -]/)) {
    const small = SMALL.indexOf(word);
    const ten = TENS.indexOf(word);
    if (small < 0 && ten < 2 && word !== "hundred") continue;
    total = word === "hundred" ? (total || 1) * 100 : total + (small >= 0 ? small : ten * 10);
    hasAny = true;
  }
  return hasAny ? total : null;
}

/**
 * @param {string} heard e.g. "3 May 1980", "the 3rd of May 1980", "May 3rd, 1980"
 * @returns {string | null} YYYY-MM-DD
 */
function spokenDate(heard) {
  const date = new Date(`${heard.replace(/(\d)(st|nd|rd|th)\b/gi, "$1").replace(/\b(the|of)\b/gi, " ")} UTC`);
  return Number.isNaN(date.getTime()) || !/\d{4}/.test(heard) ? null : date.toISOString().slice(0, 10);
}

/** @param {string} text */
function normal(text) {
  return text.toLowerCase().replace(/[.,](?!\d)|[!?;:"]/g, " ").replace(/\s+/g, " ").trim();
}
