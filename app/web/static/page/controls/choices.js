// @ts-check
/** Step type `choices`: any number of the options, as checkboxes. */

import { make } from "../../dom.js";
import { createFieldset, formatOptions, namedOptions } from "./options.js";
import { normalize } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const choices = {
  takesAnswer: true,
  createControl,
  formatAnswer: formatOptions,
  parseSpeech(step, transcript) {
    const named = namedOptions(step, normalize(transcript));
    return named.length === 0 ? null : named.map((option) => option.value);
  },
  spokenOptions: (step) => step.options ?? [],
};

/**
 * @param {Step} step
 * @returns {import("./index.js").StepControl}
 */
function createControl(step) {
  const options = step.options ?? [];
  const inputs = options.map(() => make("input", { type: "checkbox", name: "answer" }));
  const chosen = () => options.filter((_, n) => inputs[n].checked).map((option) => option.value);
  const { element, heading } = createFieldset(step, options, inputs, { hint: requirement(step) });
  element.setAttribute("aria-describedby", "hint");
  for (const input of inputs) input.setAttribute("aria-describedby", "problem");
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    validated: inputs,
    draft: chosen,
    value: () => (chosen().length === 0 && !step.required ? null : chosen()),
    show: (value) => {
      const shown = Array.isArray(value) ? value : [];
      for (const [n, input] of inputs.entries()) input.checked = shown.includes(options[n].value);
    },
    problem: () => (isCountValid(step, chosen().length) ? null : requirement(step)),
  };
}

/**
 * @param {Step} step
 * @param {number} count
 */
function isCountValid(step, count) {
  if (count === 0 && !step.required) return true;
  return count >= (step.min_choices ?? 0) && count <= (step.max_choices ?? Infinity);
}

/**
 * Say how many options may be chosen.
 *
 * @param {Step} step
 */
function requirement(step) {
  const fewest = step.min_choices ?? 0;
  const most = Math.min(step.max_choices ?? Infinity, step.options?.length ?? 0);
  const isUnlimited = most === step.options?.length;
  if (isUnlimited && fewest <= 1) return fewest === 1 && step.required ? "Choose one or more." : "Choose all that apply.";
  if (isUnlimited) return `Choose at least ${fewest}.`;
  if (fewest <= 1) return `Choose up to ${most}.`;
  return fewest === most ? `Choose ${most}.` : `Choose ${fewest} to ${most}.`;
}
