// @ts-check
/** What the page shows around the step: where one is, whether it is saved, notes, which part is seen. */

import { byId } from "../dom.js";

/**
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {"loading" | "walk" | "done" | "lost" | "stopped"} Part
 */

const SAVE_TEXTS = {
  connecting: "Connecting…",
  saved: "Saved",
  saving: "Saving…",
  offline: "Offline – your answers are kept on this device",
  stopped: "Not connected",
};
const OFFLINE_UNKEPT = "Offline – please keep this page open"; // where the browser gives no storage

/** Going to and fro between these is seen, but not said aloud. */
const QUIET = new Set(["saved", "saving"]);

const GONE =
  "This survey has changed since you were here, and the question that you were at is gone. You can start again.";
const EXPIRED = "It was too long ago that you were here, so this survey has been closed. You can start again.";

/** The parts of the page of which exactly one is seen. */
const PARTS = ["loading", "walk", "done", "lost", "stopped"];

export class SurveyView {
  root = byId("survey");
  #place = "";

  get part() {
    return this.root.dataset.part;
  }

  /**
   * @param {Part} part
   * @param {string} step
   */
  showPart(part, step) {
    for (const name of PARTS) byId(name).hidden = name !== part;
    byId("audio").hidden = part !== "walk"; // elsewhere there is nothing to read aloud
    this.root.dataset.part = part;
    this.root.dataset.step = step;
  }

  /**
   * @param {keyof typeof SAVE_TEXTS} save
   * @param {boolean} [isKept] whether what is not saved yet outlives the page
   */
  showSave(save, isKept = true) {
    this.root.dataset.connection = QUIET.has(save) ? "online" : "offline";
    const text = save === "offline" && !isKept ? OFFLINE_UNKEPT : SAVE_TEXTS[save];
    if (this.root.dataset.save === save && byId("save-text").textContent === text) return;
    const isNews = !QUIET.has(save) || !QUIET.has(this.root.dataset.save ?? "");
    byId("save").setAttribute("aria-live", isNews ? "polite" : "off"); // not at every pause in typing
    this.root.dataset.save = save;
    byId("save-text").textContent = text;
  }

  /**
   * Say which step this is, and how far along the walk.
   *
   * @param {Session} session
   * @param {number} progress 0 to 1
   * @param {number | null} inSurvey how many steps the survey has, if that is known
   */
  showPlace(session, progress, inSurvey) {
    const behind = session.step_history.length;
    const number = behind + 1;
    const estimate = progress > 0 ? Math.round(behind / progress) : inSurvey;
    this.#place = estimate === null ? `step ${number}` : `step ${number} of ${Math.max(estimate, number)}`;
    byId("place").textContent = this.part === "done" ? "Completed" : this.#place.replace("s", "S");
    /** @type {HTMLProgressElement} */ (byId("progress")).value = progress;
    byId("progress").textContent = `${Math.round(progress * 100)} %`;
  }

  /** @param {boolean} isAudio */
  showMode(isAudio) {
    byId("audio").setAttribute("aria-pressed", String(isAudio));
    this.root.dataset.mode = isAudio ? "audio" : "text";
  }

  /** @param {string} text empty to take it away */
  showNotice(text) {
    byId("notice").textContent = text;
    byId("notice").hidden = text === "";
  }

  /** Tell somebody who comes back in the middle of the walk where it goes on. */
  showWelcome() {
    if (this.part !== "walk" || byId("back").hidden) return;
    byId("resumed").textContent = `Welcome back. You are at ${this.#place}.`;
    byId("resumed").hidden = false;
  }

  endWelcome() {
    byId("resumed").hidden = true;
  }

  /** @param {boolean} isSaved whether the server has said so */
  showEnd(isSaved) {
    byId("done-saved").hidden = !isSaved;
    byId("done-unsaved").hidden = isSaved;
  }

  /** The completion screen has just come into view. */
  welcomeAtEnd() {
    byId("restart").hidden = false;
    byId("restart-sure").hidden = true;
    byId("done-heading").focus();
  }

  /** @param {boolean} isAsking whether the participant is asked to confirm */
  askRestart(isAsking) {
    byId("restart").hidden = isAsking;
    byId("restart-sure").hidden = !isAsking;
    byId(isAsking ? "restart-question" : "restart").focus();
  }

  /** @param {boolean} isExpired */
  showLostWhy(isExpired) {
    byId("lost-why").textContent = isExpired ? EXPIRED : GONE;
  }

  /** @param {string} why */
  showStopped(why) {
    byId("stopped-why").textContent = why;
    this.showPart("stopped", "");
    this.showSave("stopped");
  }
}
