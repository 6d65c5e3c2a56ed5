// @ts-check
/** Shared by step types with options: fieldsets of radio buttons or checkboxes, and labels of values. */

import { make } from "../../dom.js";
import { inlineNodes } from "../rich-text.js";
import { text } from "../texts.js";
import { OtherTexts, textOf, valueOf } from "./other-texts.js";
import { createImage, createPrompt } from "./prompt.js";
import { normalize } from "./speech.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Step} Step
 * @typedef {Pick<NonNullable<Step["options"]>[number], "image" | "html" | "other">} Appearance
 * @typedef {{value: string | number | boolean, label: string} & Appearance} Option
 * @typedef {"cards" | "scale" | "buttons"} Layout
 */

const SEARCH_FROM = 12; // options

/**
 * Return how a step's options are shown.
 *
 * @param {Step} step
 */
export function displayOf({ display, options = [] }) {
  return display ?? (options.length >= SEARCH_FROM ? "search" : "list");
}

/**
 * @param {Step} step
 * @param {Option[]} options
 * @param {Layout} [layout]
 * @returns {import("./index.js").StepControl}
 */
export function createRadioGroup(step, options, layout = "cards") {
  const inputs = options.map(() => make("input", { type: "radio", name: "answer" }));
  const others = new OtherTexts(options);
  const chosen = () => options[inputs.findIndex((input) => input.checked)]?.value ?? null;
  const { element, heading, descriptions } = createFieldset(step, options, inputs, { layout, others });
  element.setAttribute("role", "radiogroup"); // a plain group can be neither required nor invalid
  element.setAttribute("aria-describedby", [...descriptions, "problem"].join(" "));
  if (step.required) element.setAttribute("aria-required", "true");
  element.addEventListener("input", () => others.update([chosen()]));
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    validated: [element],
    draft: () => others.answer(chosen()),
    value: () => others.answer(chosen()),
    show: (value) => {
      for (const [n, input] of inputs.entries()) input.checked = options[n].value === valueOf(value);
      others.show([value]);
    },
    problem: () => (chosen() === null && step.required ? text("controls.choose_one") : others.problem([chosen()])),
  };
}

/**
 * Create a fieldset whose legend is the step's heading.
 *
 * @param {Step} step
 * @param {Option[]} options
 * @param {HTMLInputElement[]} inputs one for each option
 * @param {{layout?: Layout, hint?: string, others?: OtherTexts}} appearance
 */
export function createFieldset(step, options, inputs, { layout = "cards", hint, others }) {
  const { heading, below, descriptions } = createPrompt(step);
  const rows = options.flatMap((option, n) => {
    inputs[n].dataset.value = JSON.stringify(option.value);
    const images = option.image ? [createImage(option.image)] : [];
    const label = make("span", {}, ...images, ...inlineNodes(option.html?.label, option.label));
    const other = others?.row(option.value);
    return [make("label", { class: "choice" }, inputs[n], label), ...(other ? [other] : [])];
  });
  const element = make("fieldset", {}, make("legend", {}, heading), ...below);
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  const list = make("div", { class: `choices ${layout}` }, ...rows);
  element.append(list);
  return { element, heading, descriptions, list };
}

/**
 * Format one value, or a list of values, by the options' labels.
 *
 * @param {Step} step
 * @param {Json} value
 */
export function formatOptions(step, value) {
  if (Array.isArray(value)) return joined(value.map((item) => labelOf(step, item)));
  const plain = valueOf(value);
  return plain === null || typeof plain === "boolean" || typeof plain === "object" ? null : labelOf(step, value);
}

/**
 * @param {Step} step
 * @param {Json} item
 */
function labelOf(step, item) {
  const label = step.options?.find((option) => option.value === valueOf(item))?.label ?? String(valueOf(item));
  return textOf(item) === "" ? label : text("controls.other.answer", { label, text: textOf(item) });
}

/** @param {string[]} labels of chosen options */
export function joined(labels) {
  return labels.join(text("controls.separator")) || text("controls.none");
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
