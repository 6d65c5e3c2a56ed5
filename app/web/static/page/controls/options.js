// @ts-check
/** Controls for answers that are picked: radio buttons and checkboxes, as cards or as a scale's row. */

import { make } from "../../dom.js";

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 * @typedef {import("../../client/protocol.js").Step} Step
 * @typedef {import("./index.js").StepControl} StepControl
 * @typedef {{value: string | number | boolean, label: string}} Choice
 */

/**
 * @param {Step} step
 * @param {Choice[]} choices
 * @param {"cards" | "scale"} look
 * @returns {StepControl}
 */
export function chooseOne(step, choices, look) {
  const inputs = choices.map(() => make("input", { type: "radio", name: "answer" }));
  const chosen = () => choices[inputs.findIndex((input) => input.checked)]?.value ?? null;
  const { element, heading } = group(step, look, choices, inputs);
  element.setAttribute("role", "radiogroup"); // a plain group can be neither required nor invalid
  element.setAttribute("aria-describedby", element.querySelector("#hint") ? "hint problem" : "problem");
  if (step.required) element.setAttribute("aria-required", "true");
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    marked: [element],
    draft: chosen,
    value: chosen,
    show: (value) => {
      for (const [n, input] of inputs.entries()) input.checked = choices[n].value === value;
    },
    problem: () => (chosen() === null && step.required ? "Please choose one answer to go on." : null),
  };
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function chooseMany(step) {
  const choices = step.options ?? [];
  const inputs = choices.map(() => make("input", { type: "checkbox", name: "answer" }));
  const chosen = () => choices.filter((_, n) => inputs[n].checked).map((choice) => choice.value);
  const { element, heading } = group(step, "cards", choices, inputs, howMany(step));
  element.setAttribute("aria-describedby", "hint");
  for (const input of inputs) input.setAttribute("aria-describedby", "problem");
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    marked: inputs,
    draft: chosen,
    value: () => (chosen().length === 0 && !step.required ? null : chosen()),
    show: (value) => {
      const shown = Array.isArray(value) ? value : [];
      for (const [n, input] of inputs.entries()) input.checked = shown.includes(choices[n].value);
    },
    problem: () => (isCountRight(step, chosen().length) ? null : howMany(step)),
  };
}

/**
 * @param {Step} step
 * @param {number} count
 */
function isCountRight(step, count) {
  if (count === 0 && !step.required) return true;
  return count >= (step.min_choices ?? 0) && count <= (step.max_choices ?? Infinity);
}

/**
 * How many may be chosen, in words.
 *
 * @param {Step} step
 */
function howMany(step) {
  const fewest = step.min_choices ?? 0;
  const most = Math.min(step.max_choices ?? Infinity, step.options?.length ?? 0);
  const isFree = most === step.options?.length;
  if (isFree && fewest <= 1) return fewest === 1 && step.required ? "Choose one or more." : "Choose all that apply.";
  if (isFree) return `Choose at least ${fewest}.`;
  if (fewest <= 1) return `Choose up to ${most}.`;
  return fewest === most ? `Choose ${most}.` : `Choose ${fewest} to ${most}.`;
}

/**
 * A fieldset whose legend is the step's heading.
 *
 * @param {Step} step
 * @param {"cards" | "scale"} look
 * @param {Choice[]} choices
 * @param {HTMLInputElement[]} inputs
 * @param {string} [hint]
 */
function group(step, look, choices, inputs, hint) {
  const heading = make("h2", { id: "prompt", tabindex: -1 }, step.prompt);
  const labels = choices.map((choice, n) => {
    inputs[n].dataset.value = JSON.stringify(choice.value);
    return make("label", { class: "choice" }, inputs[n], make("span", {}, choice.label));
  });
  const element = make("fieldset", {}, make("legend", {}, heading));
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  element.append(make("div", { class: `choices ${look}` }, ...labels));
  if (look === "scale" && (step.min_label || step.max_label)) element.append(ends(step, inputs));
  return { element, heading };
}

/**
 * What the two ends of a scale mean; said with the first and the last point, too.
 *
 * @param {Step} step
 * @param {HTMLInputElement[]} inputs
 */
function ends(step, inputs) {
  const low = make("span", { id: "scale-low" }, `${step.min}: ${step.min_label ?? ""}`);
  const high = make("span", { id: "scale-high" }, `${step.max}: ${step.max_label ?? ""}`);
  if (step.min_label) inputs[0].setAttribute("aria-describedby", low.id);
  if (step.max_label) inputs[inputs.length - 1].setAttribute("aria-describedby", high.id);
  const shown = [...(step.min_label ? [low] : []), ...(step.max_label ? [high] : [])];
  return make("p", { id: "hint", class: "hint scale-ends" }, ...shown);
}
