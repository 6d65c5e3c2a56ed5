// @ts-check
/** The page of a survey's figures: filters in the address, charts that stay up to date, links to download. */

import { byId, make } from "../dom.js";
import { answerFiguresOf } from "./answer-charts.js";
import { ask, queryOf } from "./fetch-json.js";
import { ChartFigure } from "./chart-figure.js";
import { figuresOf } from "./session-charts.js";
import { Filters } from "./filters.js";
import { Live } from "./auto-refresh.js";
import { count, counted, share, span } from "./format.js";

/**
 * @typedef {import("./analytics.js").Analytics} Analytics
 * @typedef {import("./chart-figure.js").Figure} Figure
 */

const EVERY_MS = 10_000;
const OF_EXPORT = ["since", "until", "mode", "status"];

class SurveyBoard {
  #api = byId("board").dataset.api ?? "";
  #figures = byId("figures");
  #tiles = make("dl", { class: "tiles card", "aria-label": "In short" });
  #charts = make("div", { class: "figures" });
  #answers = make("div", { class: "figures" });
  #answersHeading = make("h2", { id: "answers-heading" }, "What was answered");
  /** @type {Map<string, ChartFigure>} */
  #shown = new Map();
  #filters = new Filters(/** @type {HTMLFormElement} */ (byId("filters")), () => this.#choose());
  #live = new Live(EVERY_MS, (signal) => this.#refresh(signal));

  constructor() {
    this.#figures.append(this.#tiles, this.#charts, this.#answersHeading, this.#answers);
    this.#answersHeading.hidden = true;
    this.#choose();
  }

  #choose() {
    const chosen = this.#filters.values;
    for (const link of document.querySelectorAll("a[data-format]")) {
      const { format = "" } = /** @type {HTMLElement} */ (link).dataset;
      const kept = Object.fromEntries(Object.entries(chosen).filter(([name]) => OF_EXPORT.includes(name)));
      link.setAttribute("href", `${this.#api}/export?${queryOf({ format, ...kept })}`);
    }
    this.#figures.setAttribute("aria-busy", "true");
    void this.#live.refresh();
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    const found = /** @type {Analytics} */ (await ask(`${this.#api}/analytics`, this.#filters.values, signal));
    const { started } = found.sessions;
    const unread = found.unread === 0 ? "" : ` The answers of ${count(found.unread)} can’t be opened, and are in no chart.`;
    const counts = `${counted(started, "session")}${this.#filters.areSet ? " fit what is chosen." : " in all."}${unread}`;
    if (byId("filters-say").textContent !== counts) byId("filters-say").textContent = counts;
    this.#showTiles(found);
    this.#show(this.#charts, figuresOf(found), "h2");
    this.#answersHeading.hidden = found.steps.length === 0;
    this.#show(this.#answers, answerFiguresOf(found.steps), "h3");
    this.#figures.setAttribute("aria-busy", "false");
  }

  /** @param {Analytics} found */
  #showTiles({ sessions, active_s, duration_s, resumed }) {
    const tiles = [
      ["started", "Started", count(sessions.started), ""],
      ["completed", "Completed", count(sessions.completed), share(sessions.completion_rate)],
      ["in_progress", "In progress", count(sessions.in_progress), ""],
      ["expired", "Expired", count(sessions.expired), ""],
      ["active", "Time to complete", span(active_s.median), `median; 9 of 10 at most ${span(active_s.p90)}`],
      ["duration", "With pauses", span(duration_s.median), `median; 9 of 10 at most ${span(duration_s.p90)}`],
      ["resumed", "Left and came back", share(resumed.share), counted(resumed.sessions, "session")],
      ["away", "Away for", span(resumed.away_s.median), `median of ${counted(resumed.returns, "return")}`],
    ];
    this.#tiles.replaceChildren(
      ...tiles.map(([id, name, value, more]) =>
        make(
          "div",
          { "data-tile": id },
          make("dt", {}, name),
          make("dd", {}, value),
          ...(more === "" ? [] : [make("dd", { class: "hint" }, more)]),
        ),
      ),
    );
  }

  /**
   * @param {HTMLElement} parent
   * @param {Figure[]} figures
   * @param {"h2" | "h3"} level
   */
  #show(parent, figures, level) {
    for (const figure of figures) {
      let shown = this.#shown.get(figure.id);
      if (shown === undefined) {
        shown = new ChartFigure(figure.id, figure.heading, level);
        this.#shown.set(figure.id, shown);
        parent.append(shown.element);
      }
      shown.show(figure);
    }
    const kept = new Set(figures.map((figure) => figure.id));
    for (const element of parent.children) element.toggleAttribute("hidden", !kept.has(element.id));
  }
}

new SurveyBoard();
