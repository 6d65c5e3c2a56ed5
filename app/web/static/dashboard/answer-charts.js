// @ts-check
/** The figures about answers, one a question. Texts are counted, never shown. Pure. */

import { takesAnswer } from "../page/controls/index.js";
import { barsHeight, barsOption, columnsOption } from "./chart-options.js";
import { formatCount, formatNumber, formatPercent } from "./format.js";
import { stepName } from "./session-charts.js";

/**
 * @typedef {import("./session-charts.js").Answers} Answers
 * @typedef {import("./session-charts.js").StepAnalytics} StepAnalytics
 * @typedef {import("./session-charts.js").ValueAnalytics} ValueAnalytics
 * @typedef {import("./chart-figure.js").Figure} Figure
 */

const COLUMNS_HEIGHT = 220;
const MAX_BARS = 15; // more values, such as years of birth, are shown as columns

/**
 * @param {StepAnalytics[]} steps
 * @returns {Figure[]}
 */
export function answerFigures(steps) {
  const answered = steps.flatMap((step) => step.parts ?? [step]).filter((step) => takesAnswer(step));
  return answered.map((step) => answerFigure(`answers-${step.step}`, stepName(step), step.answers));
}

/**
 * Computed values of completed sessions, such as scores.
 * @param {ValueAnalytics[]} values
 * @returns {Figure[]}
 */
export function valueFigures(values) {
  return values.map(({ value, answers }) => answerFigure(`value-${value}`, `Value ${value}`, answers));
}

/**
 * @param {string} id
 * @param {string} heading
 * @param {Answers} answers
 * @returns {Figure}
 */
function answerFigure(id, heading, answers) {
  const base = { id, heading };
  if (answers.count === 0) return { ...base, summary: "", empty: "No answers yet." };
  const skipped = answers.skipped > 0 ? `, ${formatNumber(answers.skipped)} skipped` : "";
  const counts = `${formatCount(answers.count, "answer")}${skipped}.`;
  if (answers.distribution !== null) return { ...base, ...distributionFigure(answers, answers.distribution, counts) };
  if (answers.numbers !== null) return { ...base, ...numbersFigure(answers.numbers, counts) };
  if (answers.lengths !== null) return { ...base, ...lengthsFigure(answers.lengths, counts) };
  return { ...base, summary: counts };
}

/**
 * @param {Answers} answers
 * @param {import("./session-charts.js").Choice[]} choices
 * @param {string} counts
 */
function distributionFigure({ numbers }, choices, counts) {
  const names = choices.map((choice) => choice.label ?? String(choice.value));
  const top = choices.reduce((max, choice, index) => (choice.count > choices[max].count ? index : max), 0);
  const data = {
    names,
    format: formatPercent,
    series: [
      {
        name: "Share",
        colour: /** @type {const} */ ("first"),
        values: choices.map((choice) => choice.share),
        label: (/** @type {number} */ index) => formatPercent(choices[index].share),
      },
    ],
  };
  const isLong = choices.length > MAX_BARS;
  const isRanking = choices.some((choice) => choice.mean_rank !== undefined);
  const mean = numbers === null ? "" : ` Mean ${formatNumber(numbers.mean)}, median ${formatNumber(numbers.median)}.`;
  return {
    summary: `${counts} Most often${isRanking ? " ranked first" : ""}: ${names[top]} (${formatPercent(choices[top].share)}).${mean}`,
    head: isRanking ? ["Answer", "Ranked first", "Share", "Mean rank"] : ["Answer", "Count", "Share"],
    rows: choices.map((choice, index) => [
      names[index],
      formatNumber(choice.count),
      formatPercent(choice.share),
      ...(isRanking ? [choice.mean_rank ? formatNumber(choice.mean_rank) : ""] : []),
    ]),
    height: isLong ? COLUMNS_HEIGHT : barsHeight(data),
    option: (/** @type {any} */ palette, /** @type {number} */ width) =>
      isLong ? columnsOption(data, palette) : barsOption(data, palette, width),
  };
}

/** @param {NonNullable<Answers["numbers"]>} numbers @param {string} counts */
function numbersFigure({ min, max, mean, median, bins }, counts) {
  const data = {
    names: bins.map(({ from, to }) => (from === to ? formatNumber(from) : `${formatNumber(from)} to ${formatNumber(to)}`)),
    format: formatNumber,
    isInteger: true,
    series: [{ name: "Answers", colour: /** @type {const} */ ("first"), values: bins.map((bin) => bin.count) }],
  };
  const [low, high, average, middle] = [min, max, mean, median].map(formatNumber);
  return {
    summary: `${counts} From ${low} to ${high}, mean ${average}, median ${middle}.`,
    head: ["Number", "Count"],
    rows: bins.map((bin, index) => [data.names[index], formatNumber(bin.count)]),
    height: COLUMNS_HEIGHT,
    option: (/** @type {any} */ palette) => columnsOption(data, palette),
  };
}

/** @param {NonNullable<Answers["lengths"]>} lengths @param {string} counts */
function lengthsFigure({ median, p90, max }, counts) {
  return {
    summary: `${counts} Texts are not shown here; the median has ${formatCount(median, "character")}.`,
    head: ["Length in characters", ""],
    rows: [
      ["Median", formatNumber(median)],
      ["9 of 10 have at most", formatNumber(p90)],
      ["Longest", formatNumber(max)],
    ],
  };
}
