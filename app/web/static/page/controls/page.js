// @ts-check
/** Step type `page`: several fields, each with the control of its type. */

import { make } from "../../dom.js";
import { compileCondition } from "../expressions/expressions.js";
import { text } from "../texts.js";
import { answerTo, answeredPart, createPart, formatParts, markOptional, problemsOf } from "./parts.js";
import { createPrompt } from "./prompt.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Known} Known
 * @typedef {import("./index.js").Step} Step
 * @typedef {import("./index.js").StepType} StepType
 */

/**
 * @param {Record<string, StepType>} types of fields
 * @returns {StepType}
 */
export function pageType(types) {
  return {
    takesAnswer: true,
    createControl: (step, known) => createControl(step, types, known),
    formatAnswer: (step, value) => formatParts(answeredParts(step, value, types)),
    answeredParts: (step, value) => answeredParts(step, value, types),
    parseSpeech: () => null,
  };
}

/**
 * @param {Step} step
 * @param {Json} value
 * @param {Record<string, StepType>} types
 */
function answeredParts(step, value, types) {
  const fields = step.fields?.filter(({ id }) => answerTo(value, id) !== undefined) ?? [];
  return fields.map((field) => answeredPart(types[field.type], field, answerTo(value, field.id) ?? null));
}

/**
 * @param {Step} step
 * @param {Record<string, StepType>} types
 * @param {Known} [known]
 * @returns {import("./index.js").StepControl}
 */
function createControl(step, types, known = { answers: {}, parameters: {} }) {
  const { heading, below, descriptions } = createPrompt(step);
  const parts = (step.fields ?? []).map((field) => createPart(field, types[field.type].createControl(field)));
  const conditions = parts.map(({ step: { show_if: condition } }) => (condition ? compileCondition(condition) : () => true));
  const described = { "aria-describedby": descriptions.join(" ") || null };
  const body = parts.map(({ element }) => element);
  const element = make("div", { class: "parts", role: "group", "aria-labelledby": heading.id, ...described }, heading, ...below, ...body);
  for (const part of parts) {
    part.control.heading.setAttribute("role", "heading"); // of another level than its element
    part.control.heading.setAttribute("aria-level", "3");
    if (types[part.step.type].takesAnswer && part.step.required === false) markOptional(part);
  }
  const asked = parts.filter(({ step: { type } }) => types[type].takesAnswer);
  /** Fields that only the server knows to be shown or hidden: shown until it refuses their answers. */
  const unsure = new Set();
  const refused = new Set();

  const update = () => {
    const answers = { ...known.answers };
    for (const { step: field } of parts) delete answers[field.id];
    for (const [n, part] of parts.entries()) {
      const holds = conditions[n]({ answers, parameters: known.parameters });
      if (holds === null) unsure.add(part);
      part.element.hidden = refused.has(part) || (holds === false && !unsure.has(part));
      if (!part.element.hidden) answers[part.step.id] = part.control.value();
    }
  };
  const inView = () => {
    update(); // answers by voice come without an event
    return parts.filter(({ element }) => !element.hidden);
  };
  const shown = () => inView().filter((part) => asked.includes(part));
  const problems = () => problemsOf(shown().filter((part) => !unsure.has(part) || !isEmpty(part.control.draft())));
  element.addEventListener("input", update);
  update();
  return {
    element,
    heading,
    get field() {
      return shown()[0]?.control.field ?? heading;
    },
    validated: [],
    parts: inView,
    reveal: (ids, answer) => {
      for (const part of asked.filter(({ step: { id } }) => ids.includes(id))) {
        if (unsure.has(part) && (answerTo(answer, part.step.id) ?? null) !== null) refused.add(part);
        else if (part.element.hidden) unsure.add(part), refused.delete(part);
      }
      update();
    },
    draft: () => Object.fromEntries(asked.map(({ step: field, control }) => [field.id, control.draft()])),
    value: () => Object.fromEntries(shown().map(({ step: field, control }) => [field.id, control.value()])),
    show: (value) => {
      for (const { step: field, control } of asked) {
        const answer = answerTo(value, field.id);
        control.show(answer === undefined ? (field.default ?? null) : answer);
      }
      update();
    },
    problems,
    problem: () => (Object.keys(problems()).length > 0 ? text("controls.marked") : null),
  };
}

/** @param {Json} draft */
function isEmpty(draft) {
  return draft === null || draft === "" || (Array.isArray(draft) && draft.length === 0);
}
