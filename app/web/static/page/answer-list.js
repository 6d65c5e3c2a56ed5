// @ts-check
/** The list "Your answers". */

import { make } from "../dom.js";
import { formatAnswer, takesAnswer } from "./controls/index.js";
import { blockNodes, divideText } from "./rich-text.js";
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
  const ids = steps.answered(session).filter((id) => takesAnswer(steps.get(id)));
  list.replaceChildren(...ids.map((id) => createRow(id, session, steps, edit)));
}

/**
 * Replace the list's rows by all that the participant has read and answered. What they only read shows on paper and in files.
 *
 * @param {HTMLElement} list a `dl`
 * @param {import("../client/protocol.js").Session} session
 * @param {import("./step-cache.js").StepCache} steps
 */
export function showRecord(list, session, steps) {
  const rows = steps.answered(session).map((id) => {
    const step = steps.get(id);
    return step === null || takesAnswer(step) ? createRow(id, session, steps, null) : createReadRow(step);
  });
  list.replaceChildren(...rows);
}

/**
 * @param {string} id
 * @param {import("../client/protocol.js").Session} session
 * @param {import("./step-cache.js").StepCache} steps
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
