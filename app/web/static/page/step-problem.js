// @ts-check
/**
 * The problem with a step's answer: beside the field, and in a summary at the top of the form that leads there
 * (https://design-system.service.gov.uk/components/error-summary/).
 */

import { byId } from "../dom.js";

export class StepProblem {
  /** @type {import("./controls/index.js").StepControl | null} */
  #control = null;

  constructor() {
    byId("error-link").addEventListener("click", (event) => {
      event.preventDefault();
      this.#control?.field.focus();
    });
  }

  /**
   * @param {string} problem
   * @param {import("./controls/index.js").StepControl | null} control
   * @param {{isSummarized: boolean}} options whether the summary is shown and focused: not while the participant types
   */
  show(problem, control, { isSummarized }) {
    this.#control = control;
    byId("problem").textContent = problem;
    byId("error-link").textContent = problem;
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
    this.#control = null;
  }
}
