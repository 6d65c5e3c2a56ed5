// @ts-check
/** The form of the current step: its control, its buttons and the problem with its answer. */

import { sendProblem } from "../client/strict-json.js";
import { byId } from "../dom.js";
import { Confirmation } from "./confirmation.js";
import { stepType, takesAnswer } from "./controls/index.js";
import { withHidden } from "./drafts.js";
import { keepPlace } from "./place.js";
import { StepProblem } from "./step-problem.js";
import { describe, text } from "./texts.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./controls/index.js").Known} Known
 *
 * @typedef {object} Actions
 * @property {(step: string, value: Json, isConfirmed: boolean) => void} submit the participant submitted an answer
 * @property {(step: string, value: Json) => void} change the participant changed the input
 * @property {() => void} check whether there is a problem with the input has changed
 * @property {() => void} update the step in view, sent anew while a date was half typed, can be drawn
 */

const MOMENTS = ["date", "datetime-local", "month", "time"];

export class StepForm {
  /** @type {Step | null} */
  #step = null;
  /** @type {import("./controls/index.js").StepControl | null} */
  #control = null;
  /** What the step in view looks like, as JSON. */
  #drawn = "";
  /** Whether the server has sent the step in view anew while a date was half typed. */
  #isPostponed = false;
  /** Whether the participant changed the input since the step came into view. */
  #isChanged = false;
  /** @type {string | null} the submitted answer as JSON, until the server answers */
  #submitted = null;
  #problem = new StepProblem();
  #confirmation = new Confirmation(() => this.#control?.field.focus());
  #actions;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    byId("step-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    byId("step").addEventListener("input", ({ target }) => this.change(/** @type {Element} */ (target)));
    byId("skip").addEventListener("click", () => this.skip());
    // When the key or button is released and has had its effect: else what it is pressed on would be replaced.
    for (const type of ["click", "keyup"]) document.addEventListener(type, () => setTimeout(() => this.#catchUp()));
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
   * @param {Known} known
   * @returns {boolean} false if this page does not support its type
   */
  show(step, value, known) {
    this.clear();
    const type = stepType(step);
    if (type === undefined) return false;
    this.#step = step;
    this.#drawn = drawing(step, known);
    this.#control = type.createControl(step, known);
    byId("step").replaceChildren(this.#control.element);
    this.#control.show(value);
    byId("next").textContent = text(takesAnswer(step) ? "script.next" : "script.continue");
    byId("skip").hidden = !takesAnswer(step) || step.required !== false;
    return true;
  }

  /**
   * Whether the step in view looks as the server sends it, or has to wait until a date is complete.
   *
   * @param {Step} step
   * @param {Known} known
   */
  isCurrent(step, known) {
    const isSame = drawing(step, known) === this.#drawn;
    this.#isPostponed = !isSame && isHalfTyped();
    return isSame || this.#isPostponed;
  }

  /**
   * Show the step in view as the server now sends it, with what the participant has entered as far as it fits.
   *
   * @param {Step} step
   * @param {Json} value shown if the participant has not changed the input here
   * @param {Known} known
   * @returns {boolean} false if this page does not support the type of a new field
   */
  redraw(step, value, known) {
    const [isChanged, submitted, before] = [this.#isChanged, this.#submitted, byId("step").innerText];
    const shown = isChanged ? withHidden(this.#control?.draft() ?? null, value) : value;
    if (!keepPlace(byId("step-form"), () => this.show(step, shown, known))) return false;
    [this.#isChanged, this.#submitted] = [isChanged, submitted];
    if (byId("step").innerText !== before) byId("step-changed").textContent = text("script.step_changed");
    return true;
  }

  /**
   * Show a value from another tab or device, unless the participant has changed the input here.
   *
   * @param {Json} value
   */
  refresh(value) {
    if (!this.#isChanged && !isHalfTyped()) this.#control?.show(value);
  }

  clear() {
    this.#showProblem(null);
    byId("step-changed").textContent = "";
    this.#step = null;
    this.#control = null;
    this.#submitted = null;
    this.#isChanged = false;
  }

  submit() {
    if (this.#control === null) return;
    if (this.#confirmation.isOpen) return this.#confirmation.focus(); // Enter, in the field
    const problem = this.#control.problem();
    if (problem === null) this.#submit(this.#control.value());
    else this.#showProblem(problem, { isSummarized: true, fields: this.#control.problems?.() });
  }

  /** Submit no answer, if the step is optional. */
  skip() {
    if (this.#step?.required === false) this.#submit(null);
    else if (this.#step !== null) this.#showProblem(text("script.answer_needed")); // by voice: it has no Skip button
  }

  /**
   * Report that the control has another answer.
   *
   * @param {Element | null} [target] the changed field
   */
  change(target = null) {
    if (this.#step === null || this.#control === null) return;
    const step = this.#step.id;
    const value = this.#control.draft();
    this.#isChanged = true;
    this.#submitted = null;
    const part = this.#control.parts?.().find(({ element }) => element.contains(target));
    const problem = sendProblem({ type: "draft", step, value }, describe);
    if (problem !== null || part === undefined) this.#showProblem(problem, { isSummarized: false });
    else this.#clearProblem(part);
    this.#actions.change(step, value);
  }

  /** Draw the step anew if that had to wait. */
  #catchUp() {
    if (this.#isPostponed && !isHalfTyped()) this.#actions.update();
  }

  /** Accept the same answer again: the server has answered every command. */
  settle() {
    this.#submitted = null;
  }

  /**
   * Show why the server rejected the answer, and keep the input.
   *
   * @param {string} step whose answer was rejected
   * @param {string} problem
   * @param {Record<string, string>} [fields] what is wrong with fields of a page, or rows of a grid
   * @param {Json} [value] the rejected answer, shown if another step was in view meanwhile
   * @returns {boolean} false if the step is not in view
   */
  reject(step, problem, fields, value) {
    if (this.#step?.id !== step) return false;
    if (value !== undefined && !this.#isChanged) {
      this.#control?.show(withHidden(value, this.#control.draft()));
      this.#isChanged = true; // it is stored nowhere else: what other messages bring must not replace it
    }
    this.#submitted = null;
    this.#showProblem(problem, { isSummarized: true, fields, refused: value });
    return true;
  }

  /**
   * Ask whether an unusual answer is right, unless the participant is changing it.
   *
   * @param {string} step
   * @param {string} warnings
   * @param {Json} value
   * @returns {boolean} false if the step is not in view
   */
  askToConfirm(step, warnings, value) {
    if (this.#step?.id !== step) return false;
    if (!this.#isChanged) this.#control?.show(value);
    if (JSON.stringify(this.#control?.value()) !== JSON.stringify(value)) return true;
    this.#submitted = null;
    this.#confirmation.ask(warnings, () => this.#submit(value, true));
    return true;
  }

  /** Send the answer in question as it is. */
  confirm() {
    this.#confirmation.accept();
  }

  focusField() {
    this.#confirmation.clear();
    this.#control?.field.focus();
  }

  focusHeading() {
    this.#control?.heading.focus({ preventScroll: true });
    scrollTo({ top: 0 });
  }

  /**
   * @param {Json} value
   * @param {boolean} [isConfirmed]
   */
  #submit(value, isConfirmed = false) {
    const answer = JSON.stringify([value, isConfirmed]);
    if (this.#step === null || this.#submitted === answer) return; // the button was pressed twice
    this.#submitted = answer;
    this.#showProblem(null);
    this.#actions.submit(this.#step.id, value, isConfirmed);
  }

  /** @param {import("./controls/index.js").Part} part that the participant is changing */
  #clearProblem(part) {
    this.#confirmation.clear();
    this.#problem.clearPart(part);
    this.#actions.check();
  }

  /**
   * @param {string | null} problem
   * @param {{isSummarized: boolean, fields?: Record<string, string>, refused?: Json}} [options]
   */
  #showProblem(problem, options = { isSummarized: true }) {
    this.#confirmation.clear();
    this.#problem.clear();
    if (problem !== null) this.#problem.show(problem, this.#control, options);
    this.#actions.check();
  }
}

/**
 * Return what decides how a step looks, as JSON. Only the server's own form of it changes while it is in view; a page shows
 * and hides fields by other answers too.
 *
 * @param {Step} step
 * @param {Known} known
 */
function drawing(step, { answers }) {
  if (step.depends_on === undefined) return step.id;
  return JSON.stringify([step, step.fields === undefined ? [] : step.depends_on.map((id) => answers[id])]);
}

/**
 * Whether a date or time is being entered. Only the browser knows what of it is typed, such as a month without its year, and
 * which part is next.
 */
function isHalfTyped() {
  const fields = [...byId("step").querySelectorAll("input")].filter(({ type }) => MOMENTS.includes(type));
  return fields.some((field) => field.validity.badInput || field === document.activeElement);
}
