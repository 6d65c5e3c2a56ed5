// @ts-check
/**
 * Registry of step types: one module a type, which creates the form control, formats an answer and parses speech.
 *
 * To add a type, write `<type>.js` with a `StepType` and list it in `STEP_TYPES`. No other module of the page
 * compares `step.type`.
 */

import { text as pageText } from "../texts.js";
import { boolean } from "./boolean.js";
import { choice } from "./choice.js";
import { choices } from "./choices.js";
import { email, phone } from "./contact.js";
import { date } from "./date.js";
import { grid } from "./grid.js";
import { info } from "./info.js";
import { datetime, month, time } from "./moments.js";
import { number } from "./number.js";
import { pageType } from "./page.js";
import { ranking } from "./ranking.js";
import { joined } from "./options.js";
import { scale } from "./scale.js";
import { text } from "./text.js";

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 * @typedef {import("../../client/protocol.js").Step} Step
 *
 * @typedef {object} StepControl the form control of one step
 * @property {HTMLElement} element inserted into the form
 * @property {HTMLElement} heading takes the focus when the step comes into view
 * @property {HTMLElement} field takes the focus when the input is invalid
 * @property {HTMLElement[]} validated elements that carry `aria-invalid`; the page's `#problem` describes them
 * @property {() => Json} draft the input as it stands, complete or not
 * @property {() => Json} value the answer to send; null without an answer
 * @property {(value: Json) => void} show set the input; a value of another type clears it
 * @property {() => string | null} problem why the input can't be sent; null if it can
 * @property {() => Record<string, string>} [problems] the same for each field of a page, or row of a grid, by id
 * @property {() => Part[]} [parts] the fields or rows in view, in order
 * @property {(ids: string[], answer: Json) => void} [reveal] show the fields of a refused answer that the server asks for
 *
 * @typedef {import("./parts.js").Part} Part
 *
 * @typedef {object} AnsweredPart
 * @property {Step} step the field, or a step for the row
 * @property {string | null} answer formatted; null if it is only read
 *
 * @typedef {object} Known what the fields of a page depend on
 * @property {Record<string, Json>} answers by step, and by field of other pages
 * @property {Record<string, Json>} parameters
 *
 * @typedef {object} StepType
 * @property {boolean} takesAnswer false: the step is only read, and answered with null
 * @property {(step: Step, known?: Known) => StepControl} createControl
 * @property {(step: Step, value: Json) => string | null} formatAnswer null: not an answer of this type
 * @property {(step: Step, value: Json) => AnsweredPart[]} [answeredParts] of a page or grid, in order
 * @property {(step: Step, transcript: string) => Json} parseSpeech null: no answer recognized
 * @property {(step: Step) => {label: string, audio?: string | null}[]} [spokenOptions] read aloud after the prompt
 * @property {(step: Step) => string} [spokenHint] read aloud after the prompt
 */

/** @type {Record<string, StepType>} */
const FIELD_TYPES = {
  boolean,
  choice,
  choices,
  date,
  datetime,
  email,
  info,
  month,
  number,
  phone,
  ranking,
  scale,
  text,
  time,
};

/** @type {Map<string, StepType>} */
const STEP_TYPES = new Map(Object.entries({ ...FIELD_TYPES, grid, page: pageType(FIELD_TYPES) }));

/**
 * Return the type of a step; undefined if the server is newer than this page.
 *
 * @param {{type: string | null, fields?: {type: string}[]}} step
 */
export function stepType(step) {
  if (step.fields?.some(({ type }) => !Object.hasOwn(FIELD_TYPES, type))) return undefined;
  return STEP_TYPES.get(step.type ?? "");
}

/**
 * Whether the step asks for an answer; unknown types count as questions.
 *
 * @param {{type: string | null} | null} step
 */
export function takesAnswer(step) {
  return step === null || stepType(step)?.takesAnswer !== false;
}

/**
 * Format an answer for people, with the labels and units of its step.
 *
 * @param {Step | null} step null if the survey no longer has it
 * @param {Json} value
 */
export function formatAnswer(step, value) {
  if (value === null || value === undefined) return pageText("controls.skipped");
  const formatted = step === null ? null : stepType(step)?.formatAnswer(step, value);
  return formatted ?? formatPlain(value);
}

/**
 * Return the answers to the fields of a page or the rows of a grid; none if it is neither.
 *
 * @param {Step} step
 * @param {Json} value
 */
export function answeredParts(step, value) {
  return stepType(step)?.answeredParts?.(step, value) ?? [];
}

/** @param {Json} value */
function formatPlain(value) {
  if (typeof value === "boolean") return pageText(value ? "controls.yes" : "controls.no");
  if (Array.isArray(value)) return joined(value.map(String));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
