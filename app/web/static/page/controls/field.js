// @ts-check
/** Shared by step types with a text, number or date field. */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { createPrompt } from "./prompt.js";

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
  const { heading, below, descriptions } = createPrompt(step, "answer");
  const element = make("div", {}, heading, ...below);
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  element.append(...body);
  const ids = [...descriptions, hint ? "hint" : "", step.unit ? "unit" : "", "problem"];
  field.setAttribute("aria-describedby", ids.filter(Boolean).join(" "));
  if (step.required) field.setAttribute("aria-required", "true");
  if (step.placeholder) field.placeholder = step.placeholder;
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
      return step.required ? text("controls.enter_one") : null;
    },
  };
}
