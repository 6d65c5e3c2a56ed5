// @ts-check
/** Step type `choices`: any number of the options, as checkboxes. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { createFieldset, formatOptions, optionsByName } from "./options.js";
import { normalize } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const choices = {
  takesAnswer: true,
  createControl,
  formatAnswer: formatOptions,
  parseSpeech: parseOptions,
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

/**
 * Find the options whose labels, joined by "and" or by nothing, are the whole transcript. Null if they are not, or if it
 * can be divided into labels in several ways: "rest and ice" where an option is called that.
 *
 * @param {Step} step
 * @param {string} transcript
 */
function parseOptions(step, transcript) {
  const options = step.options ?? [];
  const found = divisions(options, normalize(transcript).split(" "), and());
  if (found.length !== 1 || !isCountValid(step, found[0].length)) return null;
  return options.filter((option) => found[0].includes(option)).map((option) => option.value);
}

/**
 * @template {{label: string, audio?: string | null}} Named
 * @param {Named[]} options
 * @param {string[]} words
 * @param {string} connector
 * @returns {Named[][]} the different sets of options
 */
function divisions(options, words, connector) {
  /** @type {Named[][][]} by the number of words behind; none behind: nothing more is named */
  const sets = [[[]]];
  const named = optionsByName(options);
  for (let start = words.length - 1; start >= 0; start -= 1) {
    const different = new Map();
    for (let end = start + 1; end <= words.length; end += 1) {
      const next = words[end] === connector && end + 1 < words.length ? [end, end + 1] : [end];
      const rests = next.flatMap((place) => sets[words.length - place]);
      for (const option of named.get(words.slice(start, end).join(" ")) ?? []) {
        for (const rest of rests) {
          const set = options.filter((one) => one === option || rest.includes(one));
          different.set(set.map((one) => options.indexOf(one)).join(" "), set);
        }
      }
    }
    sets.push([...different.values()]);
  }
  return sets[words.length];
}

/** Return the survey language's word for "and". */
function and() {
  const parts = new Intl.ListFormat(surveyLanguage()).formatToParts(["1", "2"]);
  return normalize(parts[1].value);
}
