// @ts-check
/** Step type `choice`: one of the options, as radio buttons, in a dropdown or in a field that finds them. */

import { createRadioGroup, displayOf, formatOptions, optionsByName } from "./options.js";
import { createCombobox, createDropdown } from "./select-one.js";
import { normalize, parseOrdinal, parseSpokenNumber, withoutFirst, withoutLast } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const choice = {
  takesAnswer: true,
  createControl(step) {
    const display = displayOf(step);
    if (display === "dropdown") return createDropdown(step);
    if (display === "search") return createCombobox(step);
    return createRadioGroup(step, step.options ?? [], display === "buttons" ? "buttons" : "cards");
  },
  formatAnswer: formatOptions,
  parseSpeech: parseOption,
  spokenOptions: (step) => step.options ?? [],
};

/**
 * Find the one option that a transcript names by its label, or by its position ("two", "number two", "the second").
 * "Two" may also be its value, which other people see: then both must be the same option.
 *
 * @param {Step} step
 * @param {string} transcript
 */
function parseOption(step, transcript) {
  const options = step.options ?? [];
  const speech = normalize(transcript);
  const spoken = parseSpokenNumber(transcript, { integer: true });
  const named = optionsByName(options).get(speech) ?? [];
  const labelled = named.length === 0 ? options.filter(({ label }) => isNumber(label, spoken)) : named;
  const meant = labelled.length === 0 ? numberedOptions(options, speech) : labelled;
  return meant.length === 1 ? meant[0].value : null;
}

/**
 * @param {NonNullable<Step["options"]>} options
 * @param {string} speech
 */
function numberedOptions(options, speech) {
  const place = parseOrdinal(withoutLast(withoutFirst(speech, "voice.before_ordinal"), "voice.after_ordinal"));
  const spoken = parseSpokenNumber(withoutFirst(speech, "voice.before_number"), { integer: true });
  return options.filter(({ label, value }, n) => n + 1 === (place ?? spoken) || isNumber(label, spoken) || isNumber(String(value), spoken));
}

/**
 * @param {string} text
 * @param {number | null} spoken
 */
function isNumber(text, spoken) {
  return spoken !== null && parseSpokenNumber(text, { integer: true }) === spoken;
}
