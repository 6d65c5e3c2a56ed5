// @ts-check
/** Step type `boolean`: Yes or No, as radio buttons. */

import { text } from "../texts.js";
import { createRadioGroup } from "./options.js";
import { isPhrase, normalize } from "./speech.js";

/** @type {import("./index.js").StepType} */
export const boolean = {
  takesAnswer: true,
  createControl: (step) => createRadioGroup(step, options()),
  formatAnswer: (_step, value) => options().find((option) => option.value === value)?.label ?? null,
  parseSpeech(_step, transcript) {
    const speech = normalize(transcript);
    return isPhrase("voice.yes", speech) ? true : isPhrase("voice.no", speech) ? false : null;
  },
  spokenOptions: options,
};

function options() {
  return [
    { value: true, label: text("controls.yes") },
    { value: false, label: text("controls.no") },
  ];
}
