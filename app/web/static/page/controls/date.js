// @ts-check
/** Step type `date`: the browser's date field; answers are YYYY-MM-DD. */

import { make } from "../../dom.js";
import { createFieldControl } from "./field.js";

/** @type {import("./index.js").StepType} */
export const date = {
  takesAnswer: true,
  createControl,
  formatAnswer: (_step, value) => (typeof value === "string" ? formatDate(value) : null),
  parseSpeech: (_step, transcript) => parseSpokenDate(transcript),
};

/** @param {import("./index.js").Step} step */
function createControl(step) {
  const field = make("input", { id: "answer", type: "date", class: "short", min: step.min, max: step.max });
  return createFieldControl(step, field, [field], {
    show: (value) => {
      field.value = typeof value === "string" ? value : ""; // the browser clears text that is not a date
    },
    parse: (input) => input,
    validate: () => {
      if (field.validity.badInput) return "Please enter a real date, with day, month and year.";
      if (field.validity.rangeUnderflow) return `Please enter a date from ${formatDate(step.min)} on.`;
      if (field.validity.rangeOverflow) return `Please enter a date up to ${formatDate(step.max)}.`;
      return null;
    },
  });
}

/** @param {unknown} day YYYY-MM-DD */
function formatDate(day) {
  const parsed = new Date(`${day}T00:00:00`);
  if (Number.isNaN(parsed.getTime())) return String(day);
  return parsed.toLocaleDateString(document.documentElement.lang || undefined, { dateStyle: "long" });
}

/**
 * @param {string} transcript e.g. "3 May 1980", "the 3rd of May 1980", "May 3rd, 1980"
 * @returns {string | null} YYYY-MM-DD
 */
function parseSpokenDate(transcript) {
  const plain = transcript.replace(/(\d)(st|nd|rd|th)\b/gi, "$1").replace(/\b(the|of)\b/gi, " ");
  const parsed = new Date(`${plain} UTC`);
  return Number.isNaN(parsed.getTime()) || !/\d{4}/.test(plain) ? null : parsed.toISOString().slice(0, 10);
}
