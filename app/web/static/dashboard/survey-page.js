// @ts-check
/** The page of a survey's analytics: filters, figures that refresh, and links to download exports. */

import { byId, make } from "../dom.js";
import { answerFigures, valueFigures } from "./answer-charts.js";
import { AutoRefresh } from "./auto-refresh.js";
import { ChartFigure } from "./chart-figure.js";
import { fetchJson, toQuery } from "./fetch-json.js";
import { Filters } from "./filters.js";
import { formatCount, formatDuration, formatNumber, formatPercent } from "./format.js";
import { sessionFigures } from "./session-charts.js";

/**
 * @typedef {import("./session-charts.js").Analytics} Analytics
 * @typedef {import("./chart-figure.js").Figure} Figure
 */

const REFRESH_MS = 10_000;
const EXPORT_FILTERS = ["since", "until", "mode", "status"];

class SurveyPage {
  #apiUrl = byId("survey").dataset.api ?? "";
  #figures = byId("figures");
  #tiles = make("dl", { class: "tiles card", "aria-label": "In short" });
  #sessionCharts = make("div", { class: "figures" });
  #answerCharts = make("div", { class: "figures" });
  #answersHeading = make("h2", { id: "answers-heading", hidden: true }, "What was answered");
  /** @type {Map<string, ChartFigure>} by id */
  #charts = new Map();
  #filters = new Filters(/** @type {HTMLFormElement} */ (byId("filters")), () => this.#applyFilters());
  #autoRefresh = new AutoRefresh(REFRESH_MS, (signal) => this.#refresh(signal));

  constructor() {
    this.#figures.append(this.#tiles, this.#sessionCharts, this.#answersHeading, this.#answerCharts);
    document.getElementById("exact")?.addEventListener("change", () => this.#setDownloads());
    this.#applyFilters();
  }

  #setDownloads() {
    const filters = Object.entries(this.#filters.values).filter(([name]) => EXPORT_FILTERS.includes(name));
    const isExact = document.querySelector("#exact:checked") !== null;
    for (const link of document.querySelectorAll("a[data-format]")) {
      const { format = "", csv } = /** @type {HTMLElement} */ (link).dataset;
      const safe = csv === undefined || isExact ? {} : { spreadsheet_safe: "true" };
      link.setAttribute("href", `${this.#apiUrl}/export?${toQuery({ format, ...safe, ...Object.fromEntries(filters) })}`);
    }
  }

  #applyFilters() {
    this.#setDownloads();
    this.#figures.setAttribute("aria-busy", "true");
    void this.#autoRefresh.refresh();
  }

  /** @param {AbortSignal} signal */
  async #refresh(signal) {
    const url = `${this.#apiUrl}/analytics`;
    const analytics = /** @type {Analytics} */ (await fetchJson(url, this.#filters.values, signal));
    this.#showCounts(analytics);
    this.#showTiles(analytics);
    this.#showFigures(this.#sessionCharts, sessionFigures(analytics), "h2");
    this.#answersHeading.hidden = analytics.steps.length === 0;
    const figures = [...answerFigures(analytics.steps), ...valueFigures(analytics.values)];
    this.#showFigures(this.#answerCharts, figures, "h3");
    this.#figures.setAttribute("aria-busy", "false");
  }

  /** @param {Analytics} analytics */
  #showCounts({ sessions, unread }) {
    const unreadable = unread === 0 ? "" : ` The answers of ${formatNumber(unread)} can’t be decrypted, and are in no chart.`;
    const scope = this.#filters.isActive ? " fit the filters." : " in all.";
    const text = `${formatCount(sessions.started, "session")}${scope}${unreadable}`;
    if (byId("counts").textContent !== text) byId("counts").textContent = text; // a status: announced when it changes
  }

  /** @param {Analytics} analytics */
  #showTiles({ sessions, active_s, duration_s, resumed }) {
    const tiles = [
      ["started", "Started", formatNumber(sessions.started), ""],
      ["completed", "Completed", formatNumber(sessions.completed), formatPercent(sessions.completion_rate)],
      ["in_progress", "In progress", formatNumber(sessions.in_progress), ""],
      ["expired", "Expired", formatNumber(sessions.expired), ""],
      ["active", "Time to complete", formatDuration(active_s.median), `median; 9 of 10 at most ${formatDuration(active_s.p90)}`],
      ["duration", "With pauses", formatDuration(duration_s.median), `median; 9 of 10 at most ${formatDuration(duration_s.p90)}`],
      ["resumed", "Left and came back", formatPercent(resumed.share), formatCount(resumed.sessions, "session")],
      ["away", "Away for", formatDuration(resumed.away_s.median), `median of ${formatCount(resumed.returns, "return")}`],
    ];
    this.#tiles.replaceChildren(
      ...tiles.map(([id, name, value, hint]) =>
        make(
          "div",
          { "data-tile": id },
          make("dt", {}, name),
          make("dd", {}, value),
          ...(hint === "" ? [] : [make("dd", { class: "hint" }, hint)]),
        ),
      ),
    );
  }

  /**
   * @param {HTMLElement} parent
   * @param {Figure[]} figures
   * @param {"h2" | "h3"} level
   */
  #showFigures(parent, figures, level) {
    for (const figure of figures) {
      let chart = this.#charts.get(figure.id);
      if (chart === undefined) {
        chart = new ChartFigure(figure.id, figure.heading, level);
        this.#charts.set(figure.id, chart);
        parent.append(chart.element);
      }
      chart.show(figure);
    }
    const ids = new Set(figures.map((figure) => figure.id));
    for (const element of parent.children) element.toggleAttribute("hidden", !ids.has(element.id));
  }
}

new SurveyPage();
