// @ts-check
/** The form of the current step: its control, its buttons and the problem with its answer. */

import { sendProblem } from "../client/strict-json.js";
import { byId } from "../dom.js";
import { stepType, takesAnswer } from "./controls/index.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 *
 * @typedef {object} Actions
 * @property {(step: string, value: Json) => void} submit the participant submitted an answer
 * @property {(step: string, value: Json) => void} change the participant changed the input
 * @property {() => void} check whether there is a problem with the input has changed
 */

export class StepForm {
  /** @type {Step | null} */
  #step = null;
  /** @type {import("./controls/index.js").StepControl | null} */
  #control = null;
  /** Whether the participant changed the input since the step came into view. */
  #isChanged = false;
  /** @type {string | null} the submitted answer as JSON, until the server answers */
  #submitted = null;
  #actions;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    byId("step-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("step").addEventListener("input", () => this.change());
    byId("skip").addEventListener("click", () => this.skip());
  }

  get step() {
    return this.#step;
  }

  get control() {
    return this.#control;
  }

  /** The id of the step in view if its answer is submitted and not answered by the server. */
  get submittedStep() {
    return this.#submitted === null ? null : (this.#step?.id ?? null);
  }

  /**
   * Show a step with a value.
   *
   * @param {Step} step
   * @param {Json} value
   * @returns {boolean} false if this page does not support its type
   */
  show(step, value) {
    this.clear();
    const type = stepType(step);
    if (type === undefined) return false;
    this.#step = step;
    this.#control = type.createControl(step);
    byId("step").replaceChildren(this.#control.element);
    this.#control.show(value);
    byId("next").textContent = takesAnswer(step) ? "Next" : "Continue";
    byId("skip").hidden = !takesAnswer(step) || step.required !== false;
    return true;
  }

  /**
   * Show a value from another tab or device, unless the participant has changed the input here.
   *
   * @param {Json} value
   */
  refresh(value) {
    if (!this.#isChanged) this.#control?.show(value);
  }

  clear() {
    this.#showProblem(null);
    this.#step = null;
    this.#control = null;
    this.#submitted = null;
    this.#isChanged = false;
  }

  submit() {
    if (this.#control === null) return;
    const problem = this.#control.problem();
    if (problem === null) this.#submit(this.#control.value());
    else this.#showProblem(problem);
  }

  /** Submit no answer, if the step is optional. */
  skip() {
    if (this.#step?.required === false) this.#submit(null);
    else if (this.#step !== null) this.#showProblem("This question needs an answer."); // by voice: it has no Skip button
  }

  /** Report that the control has another answer. */
  change() {
    if (this.#step === null || this.#control === null) return;
    const step = this.#step.id;
    const value = this.#control.draft();
    this.#isChanged = true;
    this.#submitted = null;
    this.#showProblem(sendProblem({ type: "draft", step, value }));
    this.#actions.change(step, value);
  }

  /** Accept the same answer again: the server has answered every command. */
  settle() {
    this.#submitted = null;
  }

  /**
   * Show why the server rejected the answer, and keep the input.
   *
   * @param {string} step whose answer was rejected
   * @param {string} text
   * @param {Json} [value] the rejected answer, shown if another step was in view meanwhile
   * @returns {boolean} false if the step is not in view
   */
  reject(step, text, value) {
    if (this.#step?.id !== step) return false;
    if (value !== undefined && !this.#isChanged) this.#control?.show(value);
    this.#submitted = null;
    this.#showProblem(text);
    return true;
  }

  focusHeading() {
    this.#control?.heading.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }

  /** @param {Json} value */
  #submit(value) {
    const answer = JSON.stringify(value);
    if (this.#step === null || this.#submitted === answer) return; // the button was pressed twice
    this.#submitted = answer;
    this.#showProblem(null);
    this.#actions.submit(this.#step.id, value);
  }

  /** @param {string | null} text */
  #showProblem(text) {
    byId("problem").textContent = text ?? "";
    byId("problem-box").hidden = text === null;
    this.#actions.check();
    for (const element of this.#control?.validated ?? []) {
      if (text === null) element.removeAttribute("aria-invalid");
      else element.setAttribute("aria-invalid", "true");
    }
    if (text !== null) this.#control?.field.focus();
  }
}
