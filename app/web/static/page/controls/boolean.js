// @ts-check
/** Step type `boolean`: Yes or No, as radio buttons. */

import { createRadioGroup } from "./options.js";
import { normalize } from "./speech.js";

const OPTIONS = [
  { value: true, label: "Yes" },
  { value: false, label: "No" },
];
const YES = new Set(["yes", "yeah", "yep", "yes i do", "yes i have", "true"]);
const NO = new Set(["no", "nope", "no i don't", "no i do not", "no i haven't", "false"]);

/** @type {import("./index.js").StepType} */
export const boolean = {
  takesAnswer: true,
  createControl: (step) => createRadioGroup(step, OPTIONS),
  formatAnswer: (_step, value) => OPTIONS.find((option) => option.value === value)?.label ?? null,
  parseSpeech(_step, transcript) {
    const speech = normalize(transcript);
    return YES.has(speech) ? true : NO.has(speech) ? false : null;
  },
  spokenOptions: () => OPTIONS,
};
