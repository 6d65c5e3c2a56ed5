// @ts-check
/** Step type `choices`: any number of the options, as checkboxes. */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { createFieldset, displayOf, formatOptions, optionsByName } from "./options.js";
import { OtherTexts, valueOf } from "./other-texts.js";
import { createSearch } from "./search.js";
import { and, normalize } from "./speech.js";

/** @typedef {import("./index.js").Step} Step */

/** @type {import("./index.js").StepType} */
export const choices = {
  takesAnswer: true,
  createControl,
  formatAnswer: formatOptions,
  parseSpeech: parseOptions,
  spokenOptions: (step) => step.options ?? [],
};

/**
 * @param {Step} step
 * @returns {import("./index.js").StepControl}
 */
function createControl(step) {
  const options = step.options ?? [];
  const inputs = options.map(() => make("input", { type: "checkbox", name: "answer" }));
  const others = new OtherTexts(options);
  const chosen = () => options.filter((_, n) => inputs[n].checked).map((option) => option.value);
  const answer = () => chosen().map((value) => others.answer(value));
  const display = displayOf(step);
  const layout = display === "buttons" ? "buttons" : "cards";
  const { element, heading, descriptions, list } = createFieldset(step, options, inputs, { hint: requirement(step), layout, others });
  element.setAttribute("aria-describedby", [...descriptions, "hint"].join(" "));
  for (const input of inputs) input.setAttribute("aria-describedby", "problem");
  if (display === "search") {
    list.classList.add("scrolling");
    list.before(createSearch(options, inputs));
  }
  const summary = make("summary", { id: "chosen" });
  if (display === "dropdown") {
    const dropdown = make("details", { class: "dropdown" }, summary);
    list.replaceWith(dropdown);
    dropdown.append(list);
  }
  const update = () => {
    others.update(chosen());
    summary.textContent = chosen().length === 0 ? text("controls.dropdown.empty") : formatOptions(step, answer());
  };
  element.addEventListener("input", (event) => {
    uncheckOthers(options, inputs, /** @type {HTMLInputElement} */ (event.target));
    update();
  });
  return {
    element,
    heading,
    field: display === "dropdown" ? summary : (inputs[0] ?? heading),
    validated: inputs,
    draft: answer,
    value: () => (chosen().length === 0 && !step.required ? null : answer()),
    show: (value) => {
      const shown = Array.isArray(value) ? value : [];
      for (const [n, input] of inputs.entries()) input.checked = shown.map(valueOf).includes(options[n].value);
      others.show(shown);
      update();
    },
    problem: () => (isValid(step, chosen()) ? others.problem(chosen()) : requirement(step)),
  };
}

/**
 * Uncheck what can't be chosen together with an option that has been checked.
 *
 * @param {NonNullable<Step["options"]>} options
 * @param {HTMLInputElement[]} inputs
 * @param {HTMLInputElement} changed
 */
function uncheckOthers(options, inputs, changed) {
  const place = inputs.indexOf(changed);
  if (place < 0 || !changed.checked) return;
  for (const [n, input] of inputs.entries()) {
    if (n !== place && (options[n].exclusive || options[place].exclusive)) input.checked = false;
  }
}

/**
 * @param {Step} step
 * @param {import("./index.js").Json[]} values
 */
function isValid(step, values) {
  if (values.length === 0 && !step.required) return true;
  const isExclusive = step.options?.some((option) => option.exclusive && values.includes(option.value));
  if (isExclusive) return values.length === 1;
  return values.length >= (step.min_choices ?? 0) && values.length <= (step.max_choices ?? Infinity);
}

/**
 * Say how many options may be chosen.
 *
 * @param {Step} step
 */
function requirement(step) {
  const fewest = step.min_choices ?? 0;
  const most = Math.min(step.max_choices ?? Infinity, step.options?.length ?? 0);
  const isUnlimited = most === step.options?.length;
  const isOneNeeded = fewest === 1 && step.required;
  if (isUnlimited && fewest <= 1) return text(`controls.choices.${isOneNeeded ? "one_or_more" : "all_that_apply"}`);
  if (isUnlimited) return text("controls.choices.at_least", { count: fewest });
  if (fewest <= 1) return text("controls.choices.up_to", { count: most });
  if (fewest === most) return text("controls.choices.exactly", { count: most });
  return text("controls.choices.between", { min: fewest, max: most });
}

/**
 * Find the options whose labels, joined by "and" or by nothing, are the whole transcript. Null if they are not, or if it
 * can be divided into labels in several ways: "rest and ice" where an option is called that.
 *
 * @param {Step} step
 * @param {string} transcript
 */
function parseOptions(step, transcript) {
  const options = step.options ?? [];
  const found = divisions(options, normalize(transcript).split(" "));
  const values = options.filter((option) => found[0]?.includes(option)).map((option) => option.value);
  return found.length === 1 && isValid(step, values) ? values : null;
}

/**
 * @template {{label: string, audio?: string | null}} Named
 * @param {Named[]} options
 * @param {string[]} words
 * @returns {Named[][]} the different sets of options
 */
function divisions(options, words) {
  const { connector, isPrefix } = and();
  /** @type {Named[][][]} by the number of words behind; none behind: nothing more is named */
  const sets = [[[]]];
  const named = optionsByName(options);
  for (let start = words.length - 1; start >= 0; start -= 1) {
    const different = new Map();
    for (let end = start + 1; end <= words.length; end += 1) {
      const next = words[end] === connector && end + 1 < words.length ? [end, end + 1] : [end];
      const rests = next.flatMap((place) => sets[words.length - place]);
      const name = words.slice(start, end).join(" ");
      const isJoined = isPrefix && start > 0 && name.startsWith(connector);
      const names = [name, ...(isJoined ? [name.slice(connector.length)] : [])];
      for (const option of names.flatMap((one) => named.get(one) ?? [])) {
        for (const rest of rests) {
          const set = options.filter((one) => one === option || rest.includes(one));
          different.set(set.map((one) => options.indexOf(one)).join(" "), set);
        }
      }
    }
    sets.push([...different.values()]);
  }
  return sets[words.length];
}
