// @ts-check
/** What was answered, step by step: pure, from the figures of a survey to charts. Texts are counted, never shown. */

import { barsHeight, barsOption, columnsOption } from "./chart-options.js";
import { count, counted, share } from "./format.js";

/**
 * @typedef {import("./analytics.js").StepFigures} StepFigures
 * @typedef {import("./chart-figure.js").Figure} Figure
 */

const COLUMNS_HEIGHT = 220;
const MANY = 15; // years of birth, numbers: more than are read one by one

/**
 * A chart for each step that asks something.
 *
 * @param {StepFigures[]} steps
 * @returns {Figure[]}
 */
export function answerFiguresOf(steps) {
  return steps.filter((step) => step.type !== "info").map(answerFigure);
}

/** @param {StepFigures} step @returns {Figure} */
function answerFigure(step) {
  const named = {
    id: `answers-${step.step}`,
    heading: step.prompt === null ? step.step : `${step.step} · ${step.prompt}`,
  };
  const { answers } = step;
  if (answers.count === 0) return { ...named, summary: "", empty: "No answers yet." };
  const given = `${counted(answers.count, "answer")}${answers.skipped > 0 ? `, ${count(answers.skipped)} skipped` : ""}.`;
  if (answers.distribution !== null) return { ...named, ...choices(answers, given) };
  if (answers.numbers !== null) return { ...named, ...numbers(answers, given) };
  if (answers.lengths !== null) return { ...named, ...lengths(answers, given) };
  return { ...named, summary: given };
}

/** @param {StepFigures["answers"]} answers @param {string} given */
function choices(answers, given) {
  const all = answers.distribution ?? [];
  const most = all.reduce((top, one) => (one.count > top.count ? one : top), all[0]);
  const bars = {
    names: all.map(labelOf),
    format: share,
    series: [
      {
        name: "Share",
        colour: /** @type {const} */ ("first"),
        values: all.map((one) => one.share),
        label: (/** @type {number} */ at) => share(all[at].share),
      },
    ],
  };
  const mean = answers.numbers === null ? "" : ` Mean ${count(answers.numbers.mean)}, median ${count(answers.numbers.median)}.`;
  return {
    summary: `${given} Most often: ${labelOf(most)} (${share(most.share)}).${mean}`,
    head: ["Answer", "Count", "Share"],
    rows: all.map((one) => [labelOf(one), count(one.count), share(one.share)]),
    height: all.length > MANY ? COLUMNS_HEIGHT : barsHeight(bars),
    option: (/** @type {any} */ colours, /** @type {number} */ width) =>
      all.length > MANY ? columnsOption(bars, colours) : barsOption(bars, colours, width),
  };
}

/** @param {StepFigures["answers"]} answers @param {string} given */
function numbers(answers, given) {
  const { min, max, mean, median, bins } = /** @type {NonNullable<typeof answers.numbers>} */ (answers.numbers);
  const columns = {
    names: bins.map((bin) => (bin.from === bin.to ? count(bin.from) : `${count(bin.from)} to ${count(bin.to)}`)),
    format: count,
    isCounted: true,
    series: [{ name: "Answers", colour: /** @type {const} */ ("first"), values: bins.map((bin) => bin.count) }],
  };
  return {
    summary: `${given} From ${count(min)} to ${count(max)}, mean ${count(mean)}, median ${count(median)}.`,
    head: ["Number", "Count"],
    rows: bins.map((bin, at) => [columns.names[at], count(bin.count)]),
    height: COLUMNS_HEIGHT,
    option: (/** @type {any} */ colours) => columnsOption(columns, colours),
  };
}

/** @param {StepFigures["answers"]} answers @param {string} given */
function lengths(answers, given) {
  const { median, p90, max } = /** @type {NonNullable<typeof answers.lengths>} */ (answers.lengths);
  return {
    summary: `${given} Texts are not shown here; the median has ${counted(median, "character")}.`,
    head: ["Length in characters", ""],
    rows: [
      ["Median", count(median)],
      ["9 of 10 have at most", count(p90)],
      ["Longest", count(max)],
    ],
  };
}

/** @param {import("./analytics.js").Choice} choice */
function labelOf(choice) {
  return choice.label ?? String(choice.value);
}
