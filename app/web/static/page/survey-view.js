// @ts-check
/** Everything around the step on the survey page: position, save status, notes, and the visible part. */

import { byId } from "../dom.js";
import { GestureGate } from "./gesture-gate.js";

/**
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {(typeof PARTS)[number]} Part
 */

const SAVE_TEXTS = {
  connecting: "Connecting…",
  saved: "Saved",
  saving: "Saving…",
  offline: "Offline – your answers are kept on this device",
  stopped: "Not connected",
};
const NOTHING_TO_SAVE = "Connected";
const OFFLINE_NOT_DURABLE = "Offline – please keep this page open";

/** Save statuses that change at every pause in typing: shown, but not announced by screen readers. */
const QUIET = new Set(["saved", "saving"]);

const STEP_REMOVED =
  "This survey has changed since you were here, and the question that you were at is gone. You can start again.";
const EXPIRED = "It was too long ago that you were here, so this survey has been closed. You can start again.";

/** The parts of the page, of which one is visible; each is the id of its element. */
const PARTS = /** @type {const} */ (["loading", "step-form", "done", "unresumable", "unsupported", "stopped"]);

export class SurveyView {
  root = byId("survey");
  #position = "";
  #title = document.title;
  /** Whether the participant has done anything that could be saved. */
  #hasChanged = false;
  #wasListOpen = false;
  #gestures = new GestureGate();

  get part() {
    return this.root.dataset.part;
  }

  /**
   * @param {Part} part
   * @param {string} step
   */
  showPart(part, step) {
    const { dataset } = this.root;
    if (dataset.part !== part || dataset.step !== step) {
      this.#gestures.spend();
      byId("resumed").hidden = true; // it names the step
    }
    for (const name of PARTS) byId(name).hidden = name !== part;
    byId("audio").hidden = part !== "step-form"; // only a step can be read aloud
    this.root.dataset.part = part;
    this.root.dataset.step = step;
  }

  /** Show in the title where the participant is, and whether the input has a problem. No prompt: browsers keep titles. */
  showTitle() {
    const isOpen = this.part === "step-form" || this.part === "done";
    const place = isOpen ? byId("position").textContent : byId(this.part ?? "").querySelector("h2")?.textContent;
    const error = this.part !== "step-form" || byId("problem-box").hidden ? "" : "Error: ";
    document.title = error + [place, this.#title].filter(Boolean).join(" · ");
  }

  /**
   * @param {keyof typeof SAVE_TEXTS} save
   * @param {boolean} [isDurable] whether unsaved answers outlive the page
   */
  showSave(save, isDurable = true) {
    this.root.dataset.connection = QUIET.has(save) ? "online" : "offline";
    this.#hasChanged ||= save === "saving";
    const isDone = save === "saved" && !this.#hasChanged;
    const text = isDone ? NOTHING_TO_SAVE : save === "offline" && !isDurable ? OFFLINE_NOT_DURABLE : SAVE_TEXTS[save];
    if (this.root.dataset.save === save && byId("save-text").textContent === text) return;
    const isAnnounced = !QUIET.has(save) || !QUIET.has(this.root.dataset.save ?? "");
    byId("save").setAttribute("aria-live", isAnnounced ? "polite" : "off");
    this.root.dataset.save = save;
    byId("save-text").textContent = text;
  }

  /**
   * Show the step's number and the progress.
   *
   * @param {Session} session
   * @param {number} progress 0 to 1
   * @param {number | null} size the number of steps of the survey, if known
   */
  showPosition(session, progress, size) {
    const behind = session.step_history.length;
    const number = behind + 1;
    const total = progress > 0 ? Math.round(behind / progress) : size;
    this.#position = total === null ? `step ${number}` : `step ${number} of ${Math.max(total, number)}`;
    byId("position").textContent = this.part === "done" ? "Completed" : this.#position.replace("s", "S");
    /** @type {HTMLProgressElement} */ (byId("progress")).value = progress;
    byId("progress").textContent = `${Math.round(progress * 100)} %`;
    this.#hasChanged ||= behind > 0 || session.draft !== null || Object.keys(session.answers).length > 0;
    this.showTitle();
  }

  /** @param {boolean} isAudio */
  showMode(isAudio) {
    byId("audio").setAttribute("aria-pressed", String(isAudio));
    this.root.dataset.mode = isAudio ? "audio" : "text";
  }

  /** @param {string} text empty to hide the notice */
  showNotice(text) {
    byId("notice").textContent = text;
    byId("notice").hidden = text === "";
  }

  /** Welcome back a participant who resumes in the middle. */
  showWelcome() {
    if (this.part !== "step-form" || byId("back").hidden) return;
    byId("resumed").textContent = `Welcome back. You are at ${this.#position}.`;
    byId("resumed").hidden = false;
  }

  /** Hide the notes about an earlier action. */
  clearNotes() {
    byId("resumed").hidden = true;
    this.showNotice("");
  }

  /** @param {boolean} isSaved whether the server has confirmed the completion */
  showDone(isSaved) {
    const isNew = this.part !== "done";
    byId("done-saved").hidden = !isSaved;
    byId("done-unsaved").hidden = isSaved;
    this.showPart("done", "end");
    if (!isNew) return;
    byId("restart").hidden = false;
    byId("restart-confirm").hidden = true;
    byId("done-heading").focus();
  }

  /** @param {boolean} isPrinting whether the page is about to be printed: a closed list would be missing on paper */
  printAnswers(isPrinting) {
    const list = /** @type {HTMLDetailsElement} */ (byId("done-answers").parentElement);
    this.#wasListOpen = isPrinting ? list.open : this.#wasListOpen;
    list.open = isPrinting || this.#wasListOpen;
  }

  /** @param {boolean} isAsking whether to ask for confirmation of a restart */
  askRestart(isAsking) {
    byId("restart").hidden = isAsking;
    byId("restart-confirm").hidden = !isAsking;
    byId(isAsking ? "restart-question" : "restart").focus();
  }

  /** @param {Session} session that is expired, or whose current step was removed from the survey */
  showUnresumable(session) {
    byId("unresumable-reason").textContent = session.status === "expired" ? EXPIRED : STEP_REMOVED;
    this.showPart("unresumable", session.current_step);
  }

  /**
   * Hide every answer, and say why the page does not reconnect.
   *
   * @param {string} reason
   */
  showStopped(reason) {
    for (const id of ["step", "answers", "done-answers"]) byId(id).replaceChildren();
    for (const id of ["back", "answers-panel", "resumed", "return-note"]) byId(id).hidden = true;
    this.showNotice("");
    byId("stopped-reason").textContent = reason;
    this.showPart("stopped", "");
    this.showTitle();
    this.showSave("stopped");
  }
}
