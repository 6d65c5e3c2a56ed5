// @ts-check
/** Step type `info`: a text to read, without an answer. */

import { make } from "../../dom.js";
import { createPrompt } from "./prompt.js";

/** @type {import("./index.js").StepType} */
export const info = {
  takesAnswer: false,
  createControl(step) {
    const { heading, below } = createPrompt(step);
    return {
      element: make("div", {}, heading, ...below),
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
