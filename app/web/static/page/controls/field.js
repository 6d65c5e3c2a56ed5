// @ts-check
/** Shared by step types with a text, number or date field. */

import { make } from "../../dom.js";

/**
 * @typedef {import("./index.js").Json} Json
 *
 * @typedef {object} Behavior
 * @property {string | null} [hint]
 * @property {(value: Json) => void} show
 * @property {(input: string) => Json} parse
 * @property {(input: string) => string | null} validate why the input can't be sent; null if it can
 */

/**
 * @param {import("./index.js").Step} step
 * @param {HTMLInputElement | HTMLTextAreaElement} field
 * @param {HTMLElement[]} body the field and what is shown beside it
 * @param {Behavior} behavior
 * @returns {import("./index.js").StepControl}
 */
export function createFieldControl(step, field, body, { hint, show, parse, validate }) {
  const heading = make("h2", { id: "prompt", tabindex: -1 }, make("label", { for: "answer" }, step.prompt));
  const element = make("div", {}, heading);
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  element.append(...body);
  const descriptions = [hint ? "hint" : "", step.unit ? "unit" : "", "problem"];
  field.setAttribute("aria-describedby", descriptions.filter(Boolean).join(" "));
  if (step.required) field.setAttribute("aria-required", "true");
  const isEmpty = () => field.value.trim() === "" && !field.validity.badInput;
  return {
    element,
    heading,
    field,
    validated: [field],
    draft: () => field.value,
    value: () => (isEmpty() ? null : parse(field.value)),
    show,
    problem: () => {
      if (!isEmpty()) return validate(field.value);
      return step.required ? "Please enter an answer to continue." : null;
    },
  };
}
