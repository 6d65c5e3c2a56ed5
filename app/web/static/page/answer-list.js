// @ts-check
/** The list "Your answers", from which the participant goes to an earlier answer and back. */

import { byId, make } from "../dom.js";
import { answeredParts, formatAnswer, takesAnswer } from "./controls/index.js";
import { blockNodes, divideText } from "./rich-text.js";
import { text } from "./texts.js";

const LONG_ANSWER = 100; // characters, about two lines: longer answers are not set in bold

/**
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {import("./step-cache.js").StepCache} StepCache
 */

export class AnswerList {
  #goto;
  /** @type {string | null} the step that the participant left to edit an earlier answer */
  #returnTo = null;
  /** Whether they have left it: the server may take its time. */
  #hasLeft = false;

  /** @param {(step: string) => void} goto */
  constructor(goto) {
    this.#goto = goto;
    byId("return").addEventListener("click", () => this.#leave(this.#returnTo ?? ""));
  }

  /**
   * Show the session's answers beside the current step.
   *
   * @param {Session} session
   * @param {StepCache} steps
   * @param {boolean} canEdit
   */
  show(session, steps, canEdit) {
    const isAway = this.#returnTo !== session.current_step;
    if (!isAway && this.#hasLeft) this.#returnTo = null;
    this.#hasLeft = isAway;
    byId("return-note").hidden = this.#returnTo === null || !isAway || !canEdit;
    const edit = canEdit ? (/** @type {string} */ id) => this.#edit(id, session) : null;
    const ids = steps.answered(session).filter((id) => takesAnswer(steps.get(id)));
    byId("answers").replaceChildren(...ids.map((id) => createRow(id, session, steps, edit)));
    byId("answers-panel").hidden = ids.length === 0;
  }

  /**
   * Show at the end all that the participant has read and answered. What they only read shows on paper and in files.
   *
   * @param {Session} session
   * @param {StepCache} steps
   */
  showRecord(session, steps) {
    this.#returnTo = null;
    byId("return-note").hidden = true;
    byId("answers-panel").hidden = true;
    const rows = steps.answered(session).map((id) => {
      const step = steps.get(id);
      return step === null || takesAnswer(step) ? createRow(id, session, steps, null, true) : createReadRow(step);
    });
    byId("done-answers").replaceChildren(...rows);
  }

  /** The step to return to may have left the route. */
  forgetReturn() {
    this.#returnTo = null;
  }

  /**
   * @param {string} id
   * @param {Session} session
   */
  #edit(id, session) {
    if (this.#returnTo === null) [this.#returnTo, this.#hasLeft] = [session.current_step, false];
    this.#leave(id);
  }

  /** @param {string} step to go to */
  #leave(step) {
    /** @type {HTMLDetailsElement} */ (byId("answers-panel")).open = false;
    this.#goto(step);
  }
}

/**
 * @param {string} id
 * @param {Session} session
 * @param {StepCache} steps
 * @param {((step: string) => void) | null} edit
 * @param {boolean} [isRecord] whether to show what was only read on a page
 */
function createRow(id, session, steps, edit, isRecord = false) {
  const prompt = steps.title(id);
  const step = steps.get(id);
  const value = session.answers[id];
  const parts = step === null ? [] : answeredParts(step, value).filter(({ answer }) => isRecord || answer !== null);
  const content = parts.length > 0 ? createPartList(parts) : createAnswer(formatAnswer(step, value));
  const row = make("div", { class: "answered", "data-step": id }, make("dt", {}, prompt), content);
  if (edit !== null) row.append(make("dd", { class: "action" }, createEditButton(id, prompt, edit)));
  return row;
}

/** @param {string} answer */
function createAnswer(answer) {
  return make("dd", { class: answer.length > LONG_ANSWER ? "answer long" : "answer" }, make("bdi", {}, answer));
}

/** @param {import("./controls/index.js").AnsweredPart[]} parts fields of a page, or rows of a grid */
function createPartList(parts) {
  const rows = parts.map(({ step, answer }) => {
    if (answer === null) return createReadRow(step);
    const label = make("dt", {}, step.prompt.split("\n\n", 1)[0]);
    return make("div", { class: "answered", "data-step": step.id }, label, createAnswer(answer));
  });
  return make("dd", { class: "answered-parts" }, make("dl", {}, ...rows));
}

/** @param {import("../client/protocol.js").Step} step that takes no answer */
function createReadRow({ id, prompt, help, html }) {
  const { first, rest } = divideText(html?.prompt, prompt);
  const below = [...rest, ...(help ? blockNodes(html?.help, help) : [])];
  return make("div", { class: "read", "data-step": id }, make("dt", {}, ...first), make("dd", { class: "prose" }, ...below));
}

/**
 * @param {string} id
 * @param {string} prompt
 * @param {(step: string) => void} edit
 */
function createEditButton(id, prompt, edit) {
  const name = text("script.edit_answer", { prompt });
  const attributes = { type: "button", class: "quiet", "data-edit": id, "aria-label": name };
  const button = make("button", attributes, text("script.edit"));
  button.addEventListener("click", () => edit(id));
  return button;
}
