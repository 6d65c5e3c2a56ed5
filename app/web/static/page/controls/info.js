// @ts-check
/** Step type `info`: a text to read, without an answer. */

import { make } from "../../dom.js";

/** @type {import("./index.js").StepType} */
export const info = {
  takesAnswer: false,
  createControl(step) {
    const heading = make("h2", { id: "prompt", tabindex: -1 }, step.prompt);
    return {
      element: make("div", {}, heading),
      heading,
      field: heading,
      validated: [],
      draft: () => null,
      value: () => null,
      show: () => {},
      problem: () => null,
    };
  },
  formatAnswer: () => null,
  parseSpeech: () => null,
};
