// @ts-check
/**
 * The problems with a step's answer: beside the fields, and in a summary at the top of the form that leads there
 * (https://design-system.service.gov.uk/components/error-summary/).
 */

import { byId, make } from "../dom.js";
import { labelled } from "./controls/parts.js";
import { text } from "./texts.js";

/**
 * @typedef {import("./controls/index.js").StepControl} StepControl
 * @typedef {import("./controls/index.js").Part} Part
 */

export class StepProblem {
  /** @type {StepControl | null} */
  #control = null;
  /** @type {Map<Part, HTMLElement>} the fields or rows with a problem, each with its entry of the summary */
  #marked = new Map();

  constructor() {
    byId("error-link").addEventListener("click", (event) => {
      event.preventDefault();
      const [first] = this.#marked.keys();
      (first?.control ?? this.#control)?.field.focus();
    });
  }

  /**
   * @param {string} problem
   * @param {StepControl | null} control
   * @param {object} options
   * @param {boolean} options.isSummarized whether the summary is shown and focused: not while the participant types
   * @param {Record<string, string>} [options.fields] by field of a page, or row of a grid
   * @param {import("./controls/index.js").Json} [options.refused] the answer, if the server has refused it
   */
  show(problem, control, { isSummarized, fields = {}, refused = null }) {
    this.#control = control;
    control?.reveal?.(Object.keys(fields), refused);
    const parts = (control?.parts?.() ?? []).filter(({ step }) => Object.hasOwn(fields, step.id));
    for (const part of parts) this.#mark(part, fields[part.step.id]);
    byId("problem").textContent = problem;
    byId("error-link").textContent = parts.length === 0 ? problem : ownLines(problem, Object.values(fields));
    byId("problem-box").hidden = false;
    byId("error-summary").hidden = !isSummarized;
    for (const element of control?.validated ?? []) element.setAttribute("aria-invalid", "true");
    if (isSummarized) byId("error-summary").focus();
  }

  clear() {
    byId("problem").textContent = "";
    byId("problem-box").hidden = true;
    byId("error-summary").hidden = true;
    for (const element of this.#control?.validated ?? []) element.removeAttribute("aria-invalid");
    for (const part of this.#marked.keys()) this.#unmark(part);
    this.#control = null;
  }

  /**
   * Clear the problem with the one part that the participant is changing.
   *
   * @param {Part} part
   */
  clearPart(part) {
    this.#unmark(part);
    if (this.#marked.size === 0) this.clear();
  }

  /**
   * @param {Part} part
   * @param {string} problem
   */
  #mark(part, problem) {
    part.problem.textContent = problem;
    part.problem.hidden = false;
    for (const element of part.control.validated) element.setAttribute("aria-invalid", "true");
    const link = make("a", { href: "#step" }, labelled(part.step, problem));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      part.control.field.focus();
    });
    const entry = make("li", {}, link);
    byId("error-link").closest("ul")?.append(entry);
    this.#marked.set(part, entry);
  }

  /** @param {Part} part */
  #unmark(part) {
    this.#marked.get(part)?.remove();
    this.#marked.delete(part);
    part.problem.textContent = "";
    part.problem.hidden = true;
    for (const element of part.control.validated) element.removeAttribute("aria-invalid");
  }
}

/**
 * Return the lines that are about the whole; without any, that something is marked.
 *
 * @param {string} problem
 * @param {string[]} others
 */
function ownLines(problem, others) {
  const known = new Set(others.flatMap((other) => other.split("\n")));
  const lines = problem.split("\n").filter((line) => !known.has(line));
  return lines.join("\n") || text("controls.marked");
}
