// @ts-check
/** The events of a session, a page of them at a time; each is a button that leads to its version. */

import { byId, make } from "../dom.js";
import { count, moment, span } from "./format.js";
import { PAGE } from "./session-api.js";
import { actionWords, answerWords } from "./session-text.js";

/**
 * @typedef {import("./session-api.js").HistoryEvent} HistoryEvent
 * @typedef {import("../client/protocol.js").Step} Step
 */

const AWAY_S = 1800; // as the figures count it

export class EventList {
  #list = byId("events");
  #before = byId("events-before");
  #after = byId("events-after");
  #shown = "";

  /** @param {(version: number) => void} choose */
  constructor(choose) {
    this.#list.addEventListener("click", (click) => {
      const button = /** @type {HTMLElement} */ (click.target).closest("button");
      if (button !== null) choose(Number(button.dataset.version));
    });
  }

  /**
   * @param {HistoryEvent[]} events of the page, with the one before its first
   * @param {number} page
   * @param {number} version the chosen one
   * @param {number} newest
   * @param {Map<string, Step>} steps
   */
  show(events, page, version, newest, steps) {
    const key = JSON.stringify([page, events.length]);
    if (key !== this.#shown) this.#fill(events, page, steps);
    this.#shown = key;
    for (const button of this.#list.querySelectorAll("button")) {
      if (button.dataset.version === String(version)) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    this.#before.hidden = page === 0;
    this.#after.hidden = (page + 1) * PAGE >= newest;
    const last = Math.min((page + 1) * PAGE, newest);
    byId("events-say").textContent = newest <= PAGE ? "" : `${count(page * PAGE + 1)} to ${count(last)} of ${count(newest)}`;
  }

  /** @param {HistoryEvent[]} events @param {number} page @param {Map<string, Step>} steps */
  #fill(events, page, steps) {
    const first = page === 0 ? 0 : 1;
    const rows = events.slice(first).map((event, at) => {
      const before = events[first + at - 1];
      const pause = before === undefined ? null : (Date.parse(event.timestamp) - Date.parse(before.timestamp)) / 1000;
      return make("li", {}, ...gap(pause), this.#button(event, pause, steps));
    });
    this.#list.replaceChildren(...rows);
  }

  /** @param {HistoryEvent} event @param {number | null} pause @param {Map<string, Step>} steps */
  #button(event, pause, steps) {
    const step = event.step === null ? undefined : steps.get(event.step);
    const hasAnswer = event.action === "answered" || event.action === "drafted";
    return make(
      "button",
      { type: "button", "data-version": event.version },
      make("span", { class: "number" }, String(event.version)),
      make("span", { class: "what" }, actionWords(event), ...(hasAnswer ? [": ", make("b", {}, answerWords(event.answer, step))] : [])),
      make("span", { class: "when" }, moment(event.timestamp), pause === null ? "" : ` · +${span(Math.max(0, pause))}`),
    );
  }
}

/** @param {number | null} pause in seconds */
function gap(pause) {
  return pause !== null && pause > AWAY_S ? [make("p", { class: "away" }, `away for ${span(pause)}`)] : [];
}
