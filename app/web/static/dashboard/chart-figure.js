// @ts-check
/**
 * One chart with all that it says in other forms: a heading, a sentence, and the same numbers as a table.
 *
 * A chart is drawn when it comes near the window and again when its numbers, its width or the colours change. Where
 * there is nothing to show, a sentence stands in its place.
 */

import { make } from "../dom.js";
import { init } from "../vendor/echarts-6.1.0/echarts.js";
import { isCalm, onNewPalette, palette } from "./palette.js";

/**
 * @typedef {object} Figure
 * @property {string} id
 * @property {string} heading
 * @property {string} summary what the chart says, in a sentence
 * @property {string} [empty] what is said where there is nothing to show; then nothing below counts
 * @property {string[]} [head] of the table
 * @property {string[][]} [rows] of the table; the first cell of each names it
 * @property {number} [height] of the chart in pixels; none: a table is enough
 * @property {(colours: import("./palette.js").Palette, width: number) => object} [option] what ECharts is told
 * @property {boolean} [isWide] it wants the whole width of the page
 */

const NEAR = "400px";

export class ChartFigure {
  /** @type {Figure | null} */
  #figure = null;
  #said = "";
  /** @type {{setOption: Function, resize: Function, dispose: Function} | null} */
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
    this.#summary = make("p", { id: `${id}-summary`, class: "says" });
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
    this.#watch();
  }

  /** @param {Figure} figure with the id and heading that this one was made for */
  show(figure) {
    const said = JSON.stringify([figure.summary, figure.empty, figure.head, figure.rows]);
    this.#figure = figure;
    if (said === this.#said) return;
    this.#said = said;
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
    const top = make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)));
    const lines = rows.map(([name, ...cells]) =>
      make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text))),
    );
    this.#table.replaceChildren(make("thead", {}, top), make("tbody", {}, ...lines));
  }

  #watch() {
    const near = new IntersectionObserver(
      ([seen]) => {
        this.#isNear = seen.isIntersecting;
        if (this.#isNear && this.#chart === null) this.#draw();
      },
      { rootMargin: NEAR },
    );
    near.observe(this.element);
    new ResizeObserver(() => {
      if (this.#canvas.clientWidth !== this.#width) this.#draw();
    }).observe(this.#canvas);
    onNewPalette(() => this.#draw());
  }

  #draw() {
    const figure = this.#figure;
    if (figure?.option === undefined || this.#canvas.hidden) {
      this.#chart?.dispose();
      this.#chart = null;
      return;
    }
    this.#canvas.style.height = `${figure.height ?? 0}px`; // also before it is drawn: nothing jumps below it
    const width = this.#canvas.clientWidth;
    if (width === 0 || (!this.#isNear && this.#chart === null)) return;
    const isNew = this.#chart === null;
    this.#chart ??= init(this.#canvas, null, { renderer: "canvas" });
    if (!isNew) this.#chart?.resize();
    this.#width = width;
    this.#chart?.setOption(
      { animation: isNew && !isCalm(), animationDuration: 300, ...figure.option(palette(), width) },
      { notMerge: true },
    );
    this.#canvas.dataset.drawn = String(Number(this.#canvas.dataset.drawn ?? 0) + 1);
  }
}
