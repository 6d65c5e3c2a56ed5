// @ts-check
/** Shared by step types with options: fieldsets of radio buttons or checkboxes, and labels of values. */

import { make } from "../../dom.js";
import { normalize } from "./speech.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Step} Step
 * @typedef {{value: string | number | boolean, label: string}} Option
 */

/**
 * @param {Step} step
 * @param {Option[]} options
 * @param {"cards" | "scale"} [layout]
 * @returns {import("./index.js").StepControl}
 */
export function createRadioGroup(step, options, layout = "cards") {
  const inputs = options.map(() => make("input", { type: "radio", name: "answer" }));
  const chosen = () => options[inputs.findIndex((input) => input.checked)]?.value ?? null;
  const { element, heading } = createFieldset(step, options, inputs, { layout });
  element.setAttribute("role", "radiogroup"); // a plain group can be neither required nor invalid
  element.setAttribute("aria-describedby", "problem");
  if (step.required) element.setAttribute("aria-required", "true");
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    validated: [element],
    draft: chosen,
    value: chosen,
    show: (value) => {
      for (const [n, input] of inputs.entries()) input.checked = options[n].value === value;
    },
    problem: () => (chosen() === null && step.required ? "Please choose an answer to continue." : null),
  };
}

/**
 * Create a fieldset whose legend is the step's heading.
 *
 * @param {Step} step
 * @param {Option[]} options
 * @param {HTMLInputElement[]} inputs one for each option
 * @param {{layout?: "cards" | "scale", hint?: string}} appearance
 */
export function createFieldset(step, options, inputs, { layout = "cards", hint }) {
  const heading = make("h2", { id: "prompt", tabindex: -1 }, step.prompt);
  const labels = options.map((option, n) => {
    inputs[n].dataset.value = JSON.stringify(option.value);
    return make("label", { class: "choice" }, inputs[n], make("span", {}, option.label));
  });
  const element = make("fieldset", {}, make("legend", {}, heading));
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  element.append(make("div", { class: `choices ${layout}` }, ...labels));
  return { element, heading };
}

/**
 * Format one value, or a list of values, by the options' labels.
 *
 * @param {Step} step
 * @param {Json} value
 */
export function formatOptions(step, value) {
  if (value === null || typeof value === "boolean" || (typeof value === "object" && !Array.isArray(value))) return null;
  const label = (/** @type {Json} */ item) =>
    step.options?.find((option) => option.value === item)?.label ?? String(item);
  return Array.isArray(value) ? value.map(label).join(", ") || "None" : label(value);
}

/**
 * Group options by their normalized names: the label, and the text that is spoken for it.
 *
 * @template {{label: string, audio?: string | null}} Named
 * @param {Named[]} options
 */
export function optionsByName(options) {
  /** @type {Map<string, Named[]>} */
  const named = new Map();
  for (const option of options) {
    const names = new Set([option.label, option.audio ?? ""].map(normalize).filter(Boolean));
    for (const name of names) named.set(name, [...(named.get(name) ?? []), option]);
  }
  return named;
}
