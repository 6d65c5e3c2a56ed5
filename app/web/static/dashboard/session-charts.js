// @ts-check
/** The figures about sessions and steps: from the analytics of REST to texts, tables and chart options. Pure. */

import { barsHeight, barsOption, linesOption } from "./chart-options.js";
import { formatCount, formatDuration, formatLanguage, formatNumber, formatPercent } from "./format.js";

/**
 * The response of `GET /api/surveys/{id}/analytics`.
 *
 * @typedef {{count: number, median: number | null, p90: number | null}} Spread
 *
 * @typedef {object} Choice
 * @property {any} value
 * @property {string | null} label
 * @property {number} count
 * @property {number | null} share
 * @property {number | null} [mean_rank] of a ranking's option
 *
 * @typedef {object} Answers
 * @property {number} count
 * @property {number} skipped
 * @property {Choice[] | null} distribution
 * @property {{min: number, max: number, mean: number, median: number, bins: {from: number, to: number, count: number}[]} | null} numbers
 * @property {{median: number, p90: number, max: number} | null} lengths
 *
 * @typedef {object} Question a field of a page, or a row of a grid
 * @property {string} step
 * @property {string | null} type
 * @property {string | null} prompt
 * @property {Answers} answers
 *
 * @typedef {object} StepAnalytics
 * @property {string} step
 * @property {string | null} type
 * @property {string | null} prompt
 * @property {number} reached
 * @property {number} answered
 * @property {number} left_here
 * @property {number | null} drop_off
 * @property {number} edits
 * @property {number | null} edit_rate
 * @property {number} backs
 * @property {number | null} back_rate
 * @property {Spread} seconds
 * @property {Answers} answers
 * @property {Question[]} [parts] of a page or grid
 *
 * @typedef {{value: string, kind: string, answers: Answers}} ValueAnalytics
 *
 * @typedef {object} Analytics
 * @property {string} computed_at
 * @property {{started: number, completed: number, in_progress: number, expired: number, completion_rate: number | null}} sessions
 * @property {number} unread sessions whose answers can't be decrypted
 * @property {Spread} duration_s
 * @property {Spread} active_s
 * @property {{sessions: number, share: number | null, returns: number, away_s: Spread, pause_s: number}} resumed
 * @property {{mode: "text" | "audio", started: number, completed: number, completion_rate: number | null, answers: number}[]} modes
 * @property {{language: string | null, started: number, completed: number, completion_rate: number | null}[]} languages of a survey in several
 * @property {{day: string, started: number, completed: number}[]} days
 * @property {{revision: string | null, is_current: boolean, started: number, completed: number, completion_rate: number | null}[]} revisions
 * @property {StepAnalytics[]} steps
 * @property {ValueAnalytics[]} values
 *
 * @typedef {import("./chart-figure.js").Figure} Figure
 */

const NO_SESSIONS = "No sessions yet: the chart appears with the first one that fits the filters above.";
const LINES_HEIGHT = 300;

/**
 * @param {Analytics} analytics
 * @returns {Figure[]} in the order of the page
 */
export function sessionFigures(analytics) {
  const figures = [daysFigure, funnelFigure, timesFigure, editsFigure, modesFigure, languagesFigure, revisionsFigure];
  return figures.filter((make) => make !== languagesFigure || analytics.languages.length > 0).map((make) => make(analytics));
}

/** @param {Analytics} analytics @returns {Figure} */
function daysFigure({ days, sessions }) {
  const base = { id: "days", heading: "Started and completed by day", isWide: true };
  const active = days.filter((day) => day.started > 0);
  if (active.length === 0) return { ...base, summary: "", empty: NO_SESSIONS };
  const busiest = active.reduce((max, day) => (day.started > max.started ? day : max));
  const data = {
    names: days.map(({ day }) => day),
    format: formatNumber,
    isInteger: true,
    series: [
      { name: "Started", colour: /** @type {const} */ ("first"), values: days.map((day) => day.started) },
      { name: "Completed", colour: /** @type {const} */ ("second"), values: days.map((day) => day.completed) },
    ],
  };
  return {
    ...base,
    summary: `${formatCount(sessions.started, "session")} started on ${formatCount(active.length, "day")} (UTC), most on ${busiest.day}: ${formatNumber(busiest.started)}. ${formatNumber(sessions.completed)} were completed.`,
    head: ["Day", "Started", "Completed"],
    rows: days.map((day) => [day.day, formatNumber(day.started), formatNumber(day.completed)]),
    height: LINES_HEIGHT,
    option: (palette) => linesOption(data, palette),
  };
}

/** @param {Analytics} analytics @returns {Figure} */
function funnelFigure({ steps, sessions }) {
  const base = { id: "funnel", heading: "How far participants came", isWide: true };
  if (sessions.started === 0) return { ...base, summary: "", empty: NO_SESSIONS };
  const worst = steps.reduce((max, step) => (step.left_here > max.left_here ? step : max), steps[0]);
  const data = {
    ...stepNames(steps),
    format: formatNumber,
    isInteger: true,
    isStacked: true,
    series: [
      { name: "Went on", colour: /** @type {const} */ ("first"), values: steps.map((step) => step.reached - step.left_here) },
      {
        name: "Left here",
        colour: /** @type {const} */ ("second"),
        values: steps.map((step) => step.left_here),
        label: (/** @type {number} */ index) => (steps[index].left_here === 0 ? "" : formatPercent(steps[index].drop_off)),
      },
    ],
  };
  const drop = worst === undefined || worst.left_here === 0 ? "Nobody left before the end." : `Most left at ${worst.step}: ${formatNumber(worst.left_here)} of ${formatNumber(worst.reached)} (${formatPercent(worst.drop_off)}).`;
  return {
    ...base,
    summary: `Each bar shows how many sessions reached the step, and its end how many were left there. ${drop}`,
    head: ["Step", "Reached", "Answered", "Left here", "Drop-off"],
    rows: steps.map((step) => [
      stepName(step),
      ...[step.reached, step.answered, step.left_here].map(formatNumber),
      formatPercent(step.drop_off),
    ]),
    height: barsHeight(data),
    option: (palette, width) => barsOption(data, palette, width),
  };
}

/** @param {Analytics} analytics @returns {Figure} */
function timesFigure({ steps, resumed }) {
  const base = { id: "times", heading: "Time per step", isWide: true };
  const timed = steps.filter((step) => step.seconds.count > 0);
  if (timed.length === 0) return { ...base, summary: "", empty: "No step was answered yet." };
  const longest = timed.reduce((max, step) => ((step.seconds.median ?? 0) > (max.seconds.median ?? 0) ? step : max));
  const data = {
    ...stepNames(timed),
    format: formatDuration,
    series: [
      stepSeries("Median", "first", timed, (step) => step.seconds.median, formatDuration),
      stepSeries("9 of 10 took at most", "second", timed, (step) => step.seconds.p90, formatDuration),
    ],
  };
  return {
    ...base,
    summary: `${longest.step} takes longest: the median is ${formatDuration(longest.seconds.median)}. Pauses of more than ${formatDuration(resumed.pause_s)} don’t count.`,
    head: ["Step", "Median", "9 of 10 took at most", "Times measured"],
    rows: timed.map((step) => [
      stepName(step),
      formatDuration(step.seconds.median),
      formatDuration(step.seconds.p90),
      formatNumber(step.seconds.count),
    ]),
    height: barsHeight(data),
    option: (palette, width) => barsOption(data, palette, width),
  };
}

/** @param {Analytics} analytics @returns {Figure} */
function editsFigure({ steps }) {
  const base = { id: "edits", heading: "Changed answers and steps back", isWide: true };
  const changed = steps.filter((step) => step.edits + step.backs > 0);
  if (changed.length === 0) return { ...base, summary: "", empty: "Nobody went back or changed an answer yet." };
  const most = changed.reduce((max, step) => ((step.edit_rate ?? 0) > (max.edit_rate ?? 0) ? step : max));
  const data = {
    ...stepNames(changed),
    format: formatPercent,
    series: [
      stepSeries("Answer changed", "first", changed, (step) => step.edit_rate, formatPercent),
      stepSeries("Went back", "second", changed, (step) => step.back_rate, formatPercent),
    ],
  };
  return {
    ...base,
    summary: `Changed most often: the answer to ${most.step} (${formatPercent(most.edit_rate)}).`,
    head: ["Step", "Changed", "Share", "Went back", "Share"],
    rows: changed.map((step) => [
      stepName(step),
      formatNumber(step.edits),
      formatPercent(step.edit_rate),
      formatNumber(step.backs),
      formatPercent(step.back_rate),
    ]),
    height: barsHeight(data),
    option: (palette, width) => barsOption(data, palette, width),
  };
}

/** @param {Analytics} analytics @returns {Figure} */
function modesFigure({ modes }) {
  const groups = modes.filter((mode) => mode.started > 0).map((mode) => ({
    ...mode,
    name: mode.mode === "audio" ? "Audio" : "Text",
    extra: formatNumber(mode.answers),
  }));
  return ratesFigure("modes", "Completed in text and in audio", groups, ["Mode", "Started", "Completed", "Rate", "Answers in this mode"]);
}

/** @param {Analytics} analytics @returns {Figure} */
function languagesFigure({ languages }) {
  const groups = languages.filter(({ started }) => started > 0).map((group) => ({ ...group, name: formatLanguage(group.language) }));
  return ratesFigure("languages", "Completed by language", groups, ["Language", "Started", "Completed", "Rate"]);
}

/** @param {Analytics} analytics @returns {Figure} */
function revisionsFigure({ revisions }) {
  const groups = revisions.filter(({ started }) => started > 0).map((group) => ({
    ...group,
    name: `${group.revision === null ? "none" : group.revision.slice(0, 8)}${group.is_current ? " (current)" : ""}`,
  }));
  return ratesFigure("revisions", "Completed by revision", groups, ["Revision", "Started", "Completed", "Rate"]);
}

/**
 * @param {string} id
 * @param {string} heading
 * @param {{name: string, started: number, completed: number, completion_rate: number | null, extra?: string}[]} groups
 * @param {string[]} head
 * @returns {Figure}
 */
function ratesFigure(id, heading, groups, head) {
  if (groups.length === 0) return { id, heading, summary: "", empty: NO_SESSIONS };
  const data = {
    names: groups.map((group) => group.name),
    format: formatPercent,
    max: 1,
    series: [
      {
        name: "Completed",
        colour: /** @type {const} */ ("first"),
        values: groups.map((group) => group.completion_rate),
        label: (/** @type {number} */ index) => formatPercent(groups[index].completion_rate),
      },
    ],
  };
  const rates = groups.map((group) => `${group.name} ${formatPercent(group.completion_rate)} of ${formatNumber(group.started)}`);
  return {
    id,
    heading,
    summary: `Completed: ${rates.join(", ")}.`,
    head,
    rows: groups.map(({ name, started, completed, completion_rate, extra }) => {
      const row = [name, formatNumber(started), formatNumber(completed), formatPercent(completion_rate)];
      return extra === undefined ? row : [...row, extra];
    }),
    height: barsHeight(data),
    option: (palette, width) => barsOption(data, palette, width),
  };
}

/**
 * @param {string} name
 * @param {"first" | "second"} colour
 * @param {StepAnalytics[]} steps
 * @param {(step: StepAnalytics) => number | null} value
 * @param {(value: number | null) => string} format
 */
function stepSeries(name, colour, steps, value, format) {
  return { name, colour, values: steps.map(value), label: (/** @type {number} */ index) => format(value(steps[index])) };
}

/** @param {StepAnalytics[]} steps */
function stepNames(steps) {
  return { names: steps.map(stepName), shortNames: steps.map(({ step }) => step) };
}

/** @param {Pick<StepAnalytics, "step" | "prompt">} step */
export function stepName({ step, prompt }) {
  return prompt === null ? step : `${step} · ${prompt}`;
}
