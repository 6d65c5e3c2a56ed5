// @ts-check
/** The list of a session's events, a page at a time; each is a button that opens its version. */

import { byId, make } from "../dom.js";
import { formatDuration, formatNumber, formatTime } from "./format.js";
import { EVENTS_PER_PAGE } from "./session-api.js";
import { describeAnswer, describeEvent } from "./session-text.js";

/**
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 * @typedef {import("../client/protocol.js").Step} Step
 */

const MIN_AWAY_S = 1800; // as the analytics define a pause

export class EventList {
  #list = byId("events");
  #shown = "";

  /** @param {(version: number) => void} onChoose */
  constructor(onChoose) {
    this.#list.addEventListener("click", (click) => {
      const button = /** @type {HTMLElement} */ (click.target).closest("button");
      if (button !== null) onChoose(Number(button.dataset.version));
    });
  }

  /**
   * @param {HistoryEvent[]} events of the page, after the last one of the page before
   * @param {number} page
   * @param {number} version the current one
   * @param {number} newest
   * @param {Map<string, Step>} steps
   */
  show(events, page, version, newest, steps) {
    const shown = JSON.stringify([page, events.length]);
    if (shown !== this.#shown) this.#fill(events, page, steps);
    this.#shown = shown;
    for (const button of this.#list.querySelectorAll("button")) {
      if (button.dataset.version === String(version)) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    const end = (page + 1) * EVENTS_PER_PAGE;
    byId("events-before").hidden = page === 0;
    byId("events-after").hidden = end >= newest;
    const range = [page * EVENTS_PER_PAGE + 1, Math.min(end, newest), newest].map(formatNumber);
    byId("events-range").textContent = newest <= EVENTS_PER_PAGE ? "" : `${range[0]} to ${range[1]} of ${range[2]}`;
  }

  /** @param {HistoryEvent[]} events @param {number} page @param {Map<string, Step>} steps */
  #fill(events, page, steps) {
    const first = page === 0 ? 0 : 1;
    const rows = events.slice(first).map((event, index) => {
      const before = events[first + index - 1];
      const pauseS = before === undefined ? null : (Date.parse(event.timestamp) - Date.parse(before.timestamp)) / 1000;
      return make("li", {}, ...createGap(pauseS), createButton(event, pauseS, steps));
    });
    this.#list.replaceChildren(...rows);
  }
}

/** @param {HistoryEvent} event @param {number | null} pauseS @param {Map<string, Step>} steps */
function createButton(event, pauseS, steps) {
  const step = event.step === null ? undefined : steps.get(event.step);
  const hasAnswer = event.action === "answered" || event.action === "drafted";
  const answer = hasAnswer ? [": ", make("b", {}, describeAnswer(event.answer, step))] : [];
  const pause = pauseS === null ? "" : ` · +${formatDuration(Math.max(0, pauseS))}`;
  return make(
    "button",
    { type: "button", "data-version": event.version },
    make("span", { class: "number" }, String(event.version)),
    make("span", { class: "event" }, describeEvent(event), ...answer),
    make("span", { class: "time" }, formatTime(event.timestamp), pause),
  );
}

/** @param {number | null} pauseS */
function createGap(pauseS) {
  return pauseS !== null && pauseS > MIN_AWAY_S ? [make("p", { class: "away" }, `away for ${formatDuration(pauseS)}`)] : [];
}
