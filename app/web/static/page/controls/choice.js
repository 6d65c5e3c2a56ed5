// @ts-check
/** Step type `choice`: one of the options, as radio buttons. */

import { createRadioGroup, formatOptions, namedOptions } from "./options.js";
import { normalize, parseSpokenNumber } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const choice = {
  takesAnswer: true,
  createControl: (step) => createRadioGroup(step, step.options ?? []),
  formatAnswer: formatOptions,
  parseSpeech: parseOption,
  spokenOptions: (step) => step.options ?? [],
};

/**
 * Find an option by its label, by the longest label within the transcript, or by its position ("two", "number two").
 *
 * @param {Step} step
 * @param {string} transcript
 */
function parseOption(step, transcript) {
  const speech = normalize(transcript);
  const options = step.options ?? [];
  const exact = options.find((option) => normalize(option.label) === speech);
  const longest = namedOptions(step, speech).sort((a, b) => b.label.length - a.label.length)[0];
  const position = parseSpokenNumber(speech.replace(/^(number|option|answer) /, ""));
  return (exact ?? longest ?? (position === null ? undefined : options[position - 1]))?.value ?? null;
}
