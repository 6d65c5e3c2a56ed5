// @ts-check
/** The form with the step in view: its control, its buttons, and what is wrong with its answer. */

import { byId } from "../dom.js";
import { makeControl } from "./controls/index.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 *
 * @typedef {object} FormActions
 * @property {(step: string, value: Json) => void} send the participant gave this answer
 * @property {(step: string, value: Json) => void} touched the participant changed the half-typed answer
 */

export class StepForm {
  /** @type {Step | null} */
  #step = null;
  /** @type {import("./controls/index.js").StepControl | null} */
  #control = null;
  /** Whether the participant changed the answer since the step came into view. */
  #isTouched = false;
  /** @type {string | null} the answer, as JSON, that is on its way */
  #sent = null;
  #actions;

  /** @param {FormActions} actions */
  constructor(actions) {
    this.#actions = actions;
    byId("walk").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("step").addEventListener("input", () => this.touch());
    byId("skip").addEventListener("click", () => this.skip());
  }

  get step() {
    return this.#step;
  }

  get control() {
    return this.#control;
  }

  /** The step in view if its answer is on its way. */
  get sendingStep() {
    return this.#sent === null ? null : (this.#step?.id ?? null);
  }

  /**
   * Bring a step into view.
   *
   * @param {Step} step
   * @param {Json} value
   */
  show(step, value) {
    this.leave();
    this.#step = step;
    this.#control = makeControl(step);
    byId("step").replaceChildren(this.#control.element);
    this.#control.show(value);
    byId("next").textContent = step.type === "info" ? "Continue" : "Next";
    byId("skip").hidden = step.type === "info" || step.required !== false;
  }

  /**
   * Show what another tab or device made of this step, but never over what is being typed here.
   *
   * @param {Json} value
   */
  refresh(value) {
    if (!this.#isTouched) this.#control?.show(value);
  }

  leave() {
    this.#showProblem(null);
    this.#step = null;
    this.#control = null;
    this.#sent = null;
    this.#isTouched = false;
  }

  submit() {
    if (this.#control === null) return;
    const problem = this.#control.problem();
    if (problem === null) this.#send(this.#control.value());
    else this.#showProblem(problem);
  }

  /** Go on without an answer, where the step allows it. */
  skip() {
    if (this.#step?.required === false) this.#send(null);
  }

  /** The control holds another answer now. */
  touch() {
    if (this.#step === null || this.#control === null) return;
    this.#isTouched = true;
    this.#sent = null;
    this.#showProblem(null);
    this.#actions.touched(this.#step.id, this.#control.draft());
  }

  /** The server has answered all that was on its way. */
  settle() {
    this.#sent = null;
  }

  /**
   * Say beside the field why the server refused the answer; nothing that was typed is lost.
   *
   * @param {string} step whose answer it was
   * @param {string} text
   * @param {Json} [value] the answer, where another step may have been in view since
   * @returns {boolean} false where the step is not in view
   */
  refuse(step, text, value) {
    if (this.#step?.id !== step) return false;
    if (value !== undefined && !this.#isTouched) this.#control?.show(value);
    this.#sent = null;
    this.#showProblem(text);
    return true;
  }

  focusHeading() {
    this.#control?.heading.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }

  /** @param {Json} value */
  #send(value) {
    const sent = JSON.stringify(value);
    if (this.#step === null || this.#sent === sent) return; // the same once more: the button was pressed twice
    this.#sent = sent;
    this.#showProblem(null);
    this.#actions.send(this.#step.id, value);
  }

  /** @param {string | null} text */
  #showProblem(text) {
    byId("problem").textContent = text ?? "";
    byId("problem-box").hidden = text === null;
    for (const element of this.#control?.marked ?? []) {
      if (text === null) element.removeAttribute("aria-invalid");
      else element.setAttribute("aria-invalid", "true");
    }
    if (text !== null) this.#control?.field.focus();
  }
}
