// @ts-check
/** A month and a year, where the browser has no field for both. */

import { make } from "../../dom.js";
import { surveyLanguage } from "../language.js";
import { text } from "../texts.js";
import { asciiDigits } from "./numerals.js";
import { createPrompt } from "./prompt.js";

/**
 * @param {import("./index.js").Step} step
 * @param {string | null} hint
 * @param {(value: string) => string | null} validate
 * @returns {import("./index.js").StepControl}
 */
export function createMonthSelects(step, hint, validate) {
  const { heading, below, descriptions } = createPrompt(step);
  const described = { "aria-describedby": [...descriptions, hint ? "hint" : "", "problem"].filter(Boolean).join(" ") };
  const month = make("select", { id: "answer-month", class: "field", ...described }, make("option", { value: "" }), ...monthOptions());
  const year = make("input", { id: "answer-year", class: "field", inputmode: "numeric", maxlength: 4, autocomplete: "off", ...described });
  const fields = make(
    "div",
    { class: "month-and-year" },
    make("label", {}, text("controls.month.month"), month),
    make("label", {}, text("controls.month.year"), year),
  );
  const written = () => `${asciiDigits(year.value.trim())}-${month.value}`;
  const isEmpty = () => written() === "-";
  const isComplete = () => /^\d{4}-\d{2}$/.test(written());
  const element = make("fieldset", {}, make("legend", {}, heading), ...below);
  if (hint) element.append(make("p", { id: "hint", class: "hint" }, hint));
  element.append(fields);
  return {
    element,
    heading,
    field: month,
    validated: [month, year],
    draft: () => (isEmpty() ? null : written()),
    value: () => (isEmpty() ? null : written()),
    show: (value) => {
      [year.value, month.value] = typeof value === "string" && value.includes("-") ? value.split("-") : ["", ""];
    },
    problem: () => {
      if (isEmpty()) return step.required ? text("controls.enter_one") : null;
      return isComplete() ? validate(written()) : text("controls.month.not_real");
    },
  };
}

function monthOptions() {
  const format = new Intl.DateTimeFormat(surveyLanguage(), { month: "long", timeZone: "UTC", calendar: "gregory" });
  return Array.from({ length: 12 }, (_, number) =>
    make("option", { value: String(number + 1).padStart(2, "0") }, format.format(Date.UTC(2000, number, 1))),
  );
}
