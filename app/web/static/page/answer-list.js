// @ts-check
/** The list "Your answers", from which the participant goes to an earlier answer and back. */

import { byId, make } from "../dom.js";
import { formatAnswer, takesAnswer } from "./controls/index.js";
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
    if (this.#returnTo === session.current_step) this.#returnTo = null;
    byId("return-note").hidden = this.#returnTo === null || !canEdit;
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
      return step === null || takesAnswer(step) ? createRow(id, session, steps, null) : createReadRow(step);
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
    this.#returnTo ??= session.current_step;
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
 */
function createRow(id, session, steps, edit) {
  const prompt = steps.title(id);
  const answer = formatAnswer(steps.get(id), session.answers[id]);
  const row = make(
    "div",
    { class: "answered", "data-step": id },
    make("dt", {}, prompt),
    make("dd", { class: answer.length > LONG_ANSWER ? "answer long" : "answer" }, make("bdi", {}, answer)),
  );
  if (edit !== null) row.append(make("dd", { class: "action" }, createEditButton(id, prompt, edit)));
  return row;
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
