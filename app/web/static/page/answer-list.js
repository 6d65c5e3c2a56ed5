// @ts-check
/** The list "Your answers". */

import { make } from "../dom.js";
import { formatAnswer } from "./controls/index.js";
import { text } from "./texts.js";

const LONG_ANSWER = 100; // characters, about two lines: longer answers are not set in bold

/**
 * Replace the list's rows by the session's answers.
 *
 * @param {HTMLElement} list a `dl`
 * @param {import("../client/protocol.js").Session} session
 * @param {import("./step-cache.js").StepCache} steps
 * @param {((step: string) => void) | null} edit null if answers can't be changed
 */
export function showAnswers(list, session, steps, edit) {
  const rows = steps.answered(session).map((id) => {
    const step = steps.get(id);
    const prompt = steps.title(id);
    const answer = formatAnswer(step, session.answers[id]);
    const row = make(
      "div",
      { class: "answered", "data-step": id },
      make("dt", {}, prompt),
      make("dd", { class: answer.length > LONG_ANSWER ? "answer long" : "answer" }, make("bdi", {}, answer)),
    );
    if (edit !== null) row.append(make("dd", { class: "action" }, createEditButton(id, prompt, edit)));
    return row;
  });
  list.replaceChildren(...rows);
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
