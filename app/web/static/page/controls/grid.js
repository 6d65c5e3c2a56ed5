// @ts-check
/**
 * Step type `grid`: rows with the same options. In a wide card it is a table; in a narrow one, and with many options, a list
 * of rows, whose options are tiles as those of a scale if they are short. To screen readers each row is a group of its own.
 */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { formatOptions } from "./options.js";
import { answerTo, answeredPart, createPart, formatParts, problemsOf } from "./parts.js";
import { createPrompt } from "./prompt.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Step} Step
 * @typedef {NonNullable<Step["rows"]>[number]} Row
 */

const MAX_COLUMNS = 7; // more are too narrow for their labels
const MAX_TILE_CHARACTERS = 4;

/** @type {import("./index.js").StepType} */
export const grid = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) => formatParts(answeredParts(step, value)),
  answeredParts,
  parseSpeech: () => null,
};

/**
 * @param {Step} step
 * @param {Json} value
 */
function answeredParts(step, value) {
  const rows = step.rows?.filter(({ id }) => answerTo(value, id) !== undefined) ?? [];
  return rows.map((row) => answeredPart({ formatAnswer: formatOptions }, rowStep(step, row), answerTo(value, row.id) ?? null));
}

/**
 * Return a row as a step.
 *
 * @param {Step} step
 * @param {Row} row
 * @returns {Step}
 */
function rowStep({ options, required, multiple }, { id, label, audio }) {
  return { id, type: multiple ? "choices" : "choice", prompt: label, audio, options, required };
}

/**
 * @param {Step} step
 * @returns {import("./index.js").StepControl}
 */
function createControl(step) {
  const { heading, below, descriptions } = createPrompt(step);
  const options = step.options ?? [];
  const isTable = options.length <= MAX_COLUMNS;
  const characters = Math.max(...options.map(({ label }) => label.length));
  const isScale = !isTable && !step.multiple && characters <= MAX_TILE_CHARACTERS;
  const parts = (step.rows ?? []).map((row) => createPart(rowStep(step, row), createRow(rowStep(step, row), isScale)));
  const columns = options.map(({ label }) => make("span", {}, label));
  const head = make("div", { class: "grid-row grid-head", "aria-hidden": "true" }, make("span"), ...columns);
  const table = make("div", { class: isTable ? "grid with-table" : "grid" }, head, ...parts.map(({ element }) => element));
  table.style.setProperty("--columns", String(options.length));
  const described = { "aria-describedby": descriptions.join(" ") || null };
  const element = make("fieldset", described, make("legend", {}, heading), ...below);
  element.style.setProperty("--points", String(options.length));
  element.style.setProperty("--characters", String(characters));
  if (step.multiple) element.append(make("p", { id: "hint", class: "hint" }, text("controls.choices.all_that_apply")));
  element.append(table);
  const answer = () => Object.fromEntries(parts.map(({ step: row, control }) => [row.id, control.value()]));
  const problems = () => problemsOf(parts);
  return {
    element,
    heading,
    field: parts[0]?.control.field ?? heading,
    validated: [],
    parts: () => parts,
    draft: answer,
    value: () => (Object.values(answer()).every((cell) => cell === null) ? null : answer()),
    show: (value) => {
      for (const { step: row, control } of parts) control.show(answerTo(value, row.id) ?? null);
    },
    problems,
    problem: () => (Object.keys(problems()).length > 0 ? text("controls.marked") : null),
  };
}

/**
 * @param {Step} row
 * @param {boolean} isScale whether its options are tiles
 * @returns {import("./index.js").StepControl}
 */
function createRow({ type, prompt, options = [], required }, isScale) {
  const isMultiple = type === "choices";
  const inputs = options.map(() => make("input", { type: isMultiple ? "checkbox" : "radio", name: "answer" }));
  const cells = options.map(({ value, label }, n) => {
    inputs[n].dataset.value = JSON.stringify(value);
    if (isMultiple) inputs[n].setAttribute("aria-describedby", "problem");
    return make("label", { class: "choice" }, inputs[n], make("span", {}, label));
  });
  const content = isScale ? [make("div", { class: "choices scale" }, ...cells)] : cells;
  const heading = make("p", { id: "label", class: "grid-label" }, prompt);
  const element = make("div", { class: "grid-row", role: isMultiple ? "group" : "radiogroup", "aria-labelledby": "label" }, heading, ...content);
  if (!isMultiple) element.setAttribute("aria-describedby", "problem");
  if (!isMultiple && required) element.setAttribute("aria-required", "true");
  const value = () => {
    const chosen = options.filter((_, n) => inputs[n].checked).map((option) => option.value);
    return chosen.length === 0 ? null : isMultiple ? chosen : chosen[0];
  };
  return {
    element,
    heading,
    field: inputs[0] ?? heading,
    validated: isMultiple ? inputs : [element],
    draft: value,
    value,
    show: (shown) => {
      const chosen = Array.isArray(shown) ? shown : [shown];
      for (const [n, input] of inputs.entries()) input.checked = chosen.includes(options[n].value);
    },
    problem: () => (value() === null && required ? text("controls.choose_one") : null),
  };
}
