// @ts-check
/** What the charts of a survey show, made of its figures: pure, from numbers to words, tables and options. */

import { barsHeight, barsOption, linesOption } from "./chart-options.js";
import { count, counted, share, span } from "./format.js";

/**
 * @typedef {import("./analytics.js").Analytics} Analytics
 * @typedef {import("./analytics.js").StepFigures} StepFigures
 * @typedef {import("./chart-figure.js").Figure} Figure
 * @typedef {import("./chart-options.js").Bars} Bars
 */

const NO_SESSIONS = "No sessions yet: the chart appears with the first one that fits what is chosen above.";
const LINES_HEIGHT = 300;

/**
 * All charts about sessions and steps, in the order in which they are shown.
 *
 * @param {Analytics} figures
 * @returns {Figure[]}
 */
export function figuresOf(figures) {
  return [days, funnel, times, ways, modes, revisions].map((make) => make(figures));
}

/** @param {Analytics} figures @returns {Figure} */
function days({ days: all, sessions }) {
  const named = { id: "days", heading: "Started and completed by day", isWide: true };
  const begun = all.filter((day) => day.started > 0);
  if (begun.length === 0) return { ...named, summary: "", empty: NO_SESSIONS };
  const best = begun.reduce((most, day) => (day.started > most.started ? day : most));
  const lines = {
    names: all.map((day) => day.day),
    format: count,
    isCounted: true,
    series: [
      { name: "Started", colour: /** @type {const} */ ("first"), values: all.map((day) => day.started) },
      { name: "Completed", colour: /** @type {const} */ ("second"), values: all.map((day) => day.completed) },
    ],
  };
  return {
    ...named,
    summary: `${counted(sessions.started, "session")} began on ${counted(begun.length, "day")} (UTC), most on ${best.day}: ${count(best.started)}. ${count(sessions.completed)} were completed.`,
    head: ["Day", "Started", "Completed"],
    rows: all.map((day) => [day.day, count(day.started), count(day.completed)]),
    height: LINES_HEIGHT,
    option: (colours) => linesOption(lines, colours),
  };
}

/** @param {Analytics} figures @returns {Figure} */
function funnel({ steps, sessions }) {
  const named = { id: "funnel", heading: "How far people came", isWide: true };
  if (sessions.started === 0) return { ...named, summary: "", empty: NO_SESSIONS };
  const worst = steps.reduce((most, step) => (step.left_here > most.left_here ? step : most), steps[0]);
  const bars = {
    ...names(steps),
    format: count,
    isCounted: true,
    isStacked: true,
    series: [
      { name: "Went on", colour: /** @type {const} */ ("first"), values: steps.map((one) => one.reached - one.left_here) },
      {
        name: "Left here",
        colour: /** @type {const} */ ("second"),
        values: steps.map((one) => one.left_here),
        label: (/** @type {number} */ at) => (steps[at].left_here === 0 ? "" : share(steps[at].drop_off)),
      },
    ],
  };
  const left = worst === undefined || worst.left_here === 0 ? "Nobody left on the way." : `Most left at ${worst.step}: ${count(worst.left_here)} of ${count(worst.reached)} who reached it (${share(worst.drop_off)}).`;
  return {
    ...named,
    summary: `Each bar is who reached the step, its end who left there. ${left}`,
    head: ["Step", "Reached", "Answered", "Left here", "Drop-off"],
    rows: steps.map((one) => [rowName(one), count(one.reached), count(one.answered), count(one.left_here), share(one.drop_off)]),
    height: barsHeight(bars),
    option: (colours, width) => barsOption(bars, colours, width),
  };
}

/** @param {Analytics} figures @returns {Figure} */
function times({ steps, resumed }) {
  const named = { id: "times", heading: "Time a step", isWide: true };
  const timed = steps.filter((one) => one.seconds.count > 0);
  if (timed.length === 0) return { ...named, summary: "", empty: "No step was answered yet." };
  const longest = timed.reduce((most, one) => ((one.seconds.median ?? 0) > (most.seconds.median ?? 0) ? one : most));
  const bars = {
    ...names(timed),
    format: span,
    series: [
      spread("Median", "first", timed, (one) => one.seconds.median),
      spread("9 of 10 took at most", "second", timed, (one) => one.seconds.p90),
    ],
  };
  return {
    ...named,
    summary: `${longest.step} takes longest: ${span(longest.seconds.median)} in the middle (median). Pauses of more than ${span(resumed.pause_s)} don’t count.`,
    head: ["Step", "Median", "9 of 10 took at most", "Times measured"],
    rows: timed.map((one) => [rowName(one), span(one.seconds.median), span(one.seconds.p90), count(one.seconds.count)]),
    height: barsHeight(bars),
    option: (colours, width) => barsOption(bars, colours, width),
  };
}

/** @param {Analytics} figures @returns {Figure} */
function ways({ steps }) {
  const named = { id: "ways", heading: "Answers changed, and steps back", isWide: true };
  const moved = steps.filter((one) => one.edits + one.backs > 0);
  if (moved.length === 0) return { ...named, summary: "", empty: "Nobody went back or changed an answer yet." };
  const most = moved.reduce((top, one) => ((one.edit_rate ?? 0) > (top.edit_rate ?? 0) ? one : top));
  const bars = {
    ...names(moved),
    format: share,
    series: [
      spread("Answer changed", "first", moved, (one) => one.edit_rate, share),
      spread("Went back", "second", moved, (one) => one.back_rate, share),
    ],
  };
  return {
    ...named,
    summary: `Changed most often: the answer to ${most.step} (${share(most.edit_rate)}).`,
    head: ["Step", "Changed", "Share", "Went back", "Share"],
    rows: moved.map((one) => [rowName(one), count(one.edits), share(one.edit_rate), count(one.backs), share(one.back_rate)]),
    height: barsHeight(bars),
    option: (colours, width) => barsOption(bars, colours, width),
  };
}

/** @param {Analytics} figures @returns {Figure} */
function modes({ modes: all }) {
  const named = { id: "modes", heading: "Completed in text and in audio" };
  const begun = all.filter((one) => one.started > 0);
  const word = (/** @type {string} */ mode) => (mode === "audio" ? "Audio" : "Text");
  return rates(
    named,
    begun.map((one) => ({ name: word(one.mode), ...one, more: count(one.answers) })),
    ["Mode", "Started", "Completed", "Rate", "Answers given in it"],
  );
}

/** @param {Analytics} figures @returns {Figure} */
function revisions({ revisions: all }) {
  const named = { id: "revisions", heading: "Completed by revision" };
  const name = (/** @type {Analytics["revisions"][number]} */ one) =>
    `${one.revision === null ? "none" : one.revision.slice(0, 8)}${one.is_current ? " (current)" : ""}`;
  return rates(
    named,
    all.filter((one) => one.started > 0).map((one) => ({ name: name(one), ...one })),
    ["Revision", "Started", "Completed", "Rate"],
  );
}

/**
 * @param {{id: string, heading: string}} named
 * @param {{name: string, started: number, completed: number, completion_rate: number | null, more?: string}[]} all
 * @param {string[]} head
 * @returns {Figure}
 */
function rates(named, all, head) {
  if (all.length === 0) return { ...named, summary: "", empty: NO_SESSIONS };
  const bars = {
    names: all.map((one) => one.name),
    format: share,
    max: 1,
    series: [
      {
        name: "Completed",
        colour: /** @type {const} */ ("first"),
        values: all.map((one) => one.completion_rate),
        label: (/** @type {number} */ at) => share(all[at].completion_rate),
      },
    ],
  };
  const said = all.map((one) => `${one.name} ${share(one.completion_rate)} of ${count(one.started)}`);
  return {
    ...named,
    summary: `Completed: ${said.join(", ")}.`,
    head,
    rows: all.map((one) => {
      const row = [one.name, count(one.started), count(one.completed), share(one.completion_rate)];
      return one.more === undefined ? row : [...row, one.more];
    }),
    height: barsHeight(bars),
    option: (colours, width) => barsOption(bars, colours, width),
  };
}

/**
 * @param {string} name
 * @param {"first" | "second"} colour
 * @param {StepFigures[]} steps
 * @param {(step: StepFigures) => number | null} value
 * @param {(value: number | null) => string} [format]
 */
function spread(name, colour, steps, value, format = span) {
  return { name, colour, values: steps.map(value), label: (/** @type {number} */ at) => format(value(steps[at])) };
}

/** @param {StepFigures[]} steps */
function names(steps) {
  return { names: steps.map(rowName), shortNames: steps.map((one) => one.step) };
}

/** @param {StepFigures} step */
function rowName(step) {
  return step.prompt === null ? step.step : `${step.step} · ${step.prompt}`;
}
