// @ts-check
/**
 * A chart with a heading, a sentence that says the same, and its numbers as a table.
 *
 * It is drawn when it comes near the viewport or is printed, and again when its data, its width or the colour scheme changes. Without
 * data, a sentence replaces it.
 */

import { make } from "../dom.js";
import { onPaletteChange, prefersReducedMotion, readPalette } from "./chart-options.js";

/**
 * @typedef {object} Figure
 * @property {string} id
 * @property {string} heading
 * @property {string} summary the chart in one sentence
 * @property {string} [empty] shown instead of the chart and its table if there is no data
 * @property {string[]} [head] of the table
 * @property {string[][]} [rows] of the table; the first cell of each is its header
 * @property {number} [height] of the chart in pixels; omitted for a table without a chart
 * @property {(palette: import("./chart-options.js").Palette, width: number) => object} [option] returns ECharts' option
 * @property {boolean} [isWide] it takes the whole width of the page
 */

const DRAW_MARGIN = "400px";

/** @type {Function | null} ECharts' `init`; null until it is loaded: the numbers do not wait for 160 KiB */
let init = null;
const loaded = import("../vendor/echarts-6.1.0/echarts.js").then(
  (echarts) => (init = echarts.init),
  (error) => console.warn("stepkeep: the charts can't be drawn", error),
);

export class ChartFigure {
  /** @type {Figure | null} */
  #figure = null;
  /** The figure's text and table as JSON, to skip unchanged data. */
  #shown = "";
  /** @type {{setOption: Function, resize: Function, dispose: Function, getZr: Function} | null} */
  #chart = null;
  #isNear = false;
  #width = 0;
  #summary;
  #canvas;
  #table;
  #details;

  /**
   * @param {string} id
   * @param {string} heading
   * @param {"h2" | "h3"} level
   */
  constructor(id, heading, level) {
    this.#summary = make("p", { id: `${id}-summary`, class: "summary" });
    const names = { "aria-labelledby": `${id}-heading`, "aria-describedby": `${id}-summary` };
    this.#canvas = make("div", { class: "canvas", role: "img", ...names, hidden: true });
    this.#table = make("table", { "aria-labelledby": `${id}-heading` });
    this.#details = make(
      "details",
      { hidden: true },
      make("summary", {}, "The numbers as a table"),
      make("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": `${heading}, as a table` }, this.#table),
    );
    this.element = make(
      "section",
      { id, class: "card figure", "aria-labelledby": `${id}-heading` },
      make(level, { id: `${id}-heading` }, heading),
      this.#summary,
      this.#canvas,
      this.#details,
    );
    this.#observe();
  }

  /** @param {Figure} figure with the id and heading given to the constructor */
  show(figure) {
    const shown = JSON.stringify([figure.summary, figure.empty, figure.head, figure.rows]);
    this.#figure = figure;
    if (shown === this.#shown) return;
    this.#shown = shown;
    const isEmpty = figure.empty !== undefined;
    this.#summary.textContent = figure.empty ?? figure.summary;
    this.element.classList.toggle("wide-figure", figure.isWide === true);
    this.element.classList.toggle("is-empty", isEmpty);
    this.#details.hidden = isEmpty || figure.rows === undefined;
    this.#canvas.hidden = isEmpty || figure.option === undefined;
    if (!isEmpty) this.#fillTable(figure.head ?? [], figure.rows ?? []);
    this.#draw();
  }

  /**
   * @param {string[]} head
   * @param {string[][]} rows
   */
  #fillTable(head, rows) {
    const headRow = make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)));
    const bodyRows = rows.map(([name, ...cells]) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))),
    );
    this.#table.replaceChildren(make("thead", {}, headRow), make("tbody", {}, ...bodyRows));
  }

  #observe() {
    const proximity = new IntersectionObserver(
      ([entry]) => {
        this.#isNear = entry.isIntersecting;
        if (this.#isNear && this.#chart === null) this.#draw();
      },
      { rootMargin: DRAW_MARGIN },
    );
    proximity.observe(this.element);
    addEventListener("beforeprint", () => this.#print());
    new ResizeObserver(() => {
      if (this.#canvas.clientWidth !== this.#width) this.#draw();
    }).observe(this.#canvas);
    onPaletteChange(() => this.#draw());
    void loaded.then(() => this.#draw());
  }

  /** Draw the chart now if it isn't yet: the next frame would come too late for paper. */
  #print() {
    if (this.#chart !== null) return;
    this.#isNear = true;
    this.#draw(false);
    /** @type {typeof this.#chart} */ (this.#chart)?.getZr().flush();
  }

  /** @param {boolean} [isAnimated] */
  #draw(isAnimated = !prefersReducedMotion()) {
    const figure = this.#figure;
    if (figure?.option === undefined || this.#canvas.hidden) {
      this.#chart?.dispose();
      this.#chart = null;
      return;
    }
    this.#canvas.style.height = `${figure.height ?? 0}px`; // before it is drawn too, so that nothing below moves
    const width = this.#canvas.clientWidth;
    if (init === null || width === 0 || (!this.#isNear && this.#chart === null)) return;
    const isNew = this.#chart === null;
    this.#chart ??= init(this.#canvas, null, { renderer: "canvas" });
    if (!isNew) this.#chart?.resize();
    this.#width = width;
    this.#chart?.setOption(
      { animation: isNew && isAnimated, animationDuration: 300, ...figure.option(readPalette(), width) },
      { notMerge: true },
    );
    this.#canvas.dataset.drawn = String(Number(this.#canvas.dataset.drawn ?? 0) + 1);
  }
}
