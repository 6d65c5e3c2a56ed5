// @ts-check
/** Everything around the step on the survey page: position, save status, notes, and the visible part. */

import { byId } from "../dom.js";
import { GestureGate } from "./gesture-gate.js";
import { surveyLanguage, withLanguage } from "./language.js";
import { blockNodes } from "./rich-text.js";
import { text } from "./texts.js";

/**
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {(typeof PARTS)[number]} Part
 * @typedef {"connecting" | "saved" | "saving" | "offline" | "stopped"} Save
 */

/** Save statuses that change at every pause in typing: shown, but not announced by screen readers. */
const QUIET = new Set(["saved", "saving"]);

/** The parts of the page, of which one is visible; each is the id of its element. */
const PARTS = /** @type {const} */ (["loading", "step-form", "done", "unresumable", "unsupported", "stopped"]);

export class SurveyView {
  root = byId("survey");
  /** @type {{number: number, total?: number}} */
  #position = { number: 1 };
  #title = document.title;
  /** Whether the participant has done anything that could be saved. */
  #hasChanged = false;
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

  /**
   * Show the title and the description in another language. Only the server can insert values.
   *
   * @param {{title: string, description: string | null, html?: Record<string, string>}} survey
   */
  showSurvey({ title, description, html }) {
    if (`${title}${description}`.includes("{{")) return location.replace(withLanguage(surveyLanguage()));
    this.#title = this.#title.replace(byId("survey-title").textContent ?? "", title);
    byId("survey-title").textContent = title;
    document.getElementById("description")?.replaceChildren(...blockNodes(html?.description, description ?? ""));
    this.showTitle();
  }

  /** Show in the title where the participant is, and whether the input has a problem. No prompt: browsers keep titles. */
  showTitle() {
    const isOpen = this.part === "step-form" || this.part === "done";
    const place = isOpen ? byId("position").textContent : byId(this.part ?? "").querySelector("h2")?.textContent;
    const title = [place, this.#title].filter(Boolean).join(" · ");
    const hasProblem = this.part === "step-form" && !byId("problem-box").hidden;
    document.title = hasProblem ? text("script.error_title", { title }) : title;
  }

  /**
   * @param {Save} save
   * @param {boolean} [isDurable] whether unsaved answers outlive the page
   */
  showSave(save, isDurable = true) {
    this.root.dataset.connection = QUIET.has(save) ? "online" : save === "connecting" ? save : "offline";
    this.#hasChanged ||= save === "saving";
    const isDone = save === "saved" && !this.#hasChanged;
    const note = text(`script.save.${isDone ? "connected" : save === "offline" && !isDurable ? "offline_open" : save}`);
    if (this.root.dataset.save === save && byId("save-text").textContent === note) return;
    const isAnnounced = !QUIET.has(save) || !QUIET.has(this.root.dataset.save ?? "");
    byId("save").setAttribute("aria-live", isAnnounced ? "polite" : "off");
    this.root.dataset.save = save;
    byId("save-text").textContent = note;
    byId("save").dataset.other = QUIET.has(save) ? text(`script.save.${save === "saved" ? "saving" : "saved"}`) : "";
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
    document.getElementById("description")?.toggleAttribute("hidden", behind > 0);
    const number = behind + 1;
    const total = progress > 0 ? Math.round(behind / progress) : size;
    this.#position = total === null ? { number } : { number, total: Math.max(total, number) };
    byId("position").textContent = this.part === "done" ? text("script.completed") : this.#placed("script.position");
    /** @type {HTMLProgressElement} */ (byId("progress")).value = progress;
    byId("progress").textContent = new Intl.NumberFormat(surveyLanguage(), { style: "percent" }).format(progress);
    this.#hasChanged ||= behind > 0 || session.draft !== null || Object.keys(session.answers).length > 0;
    this.showTitle();
  }

  /** @param {boolean} isAudio */
  showMode(isAudio) {
    byId("audio").setAttribute("aria-pressed", String(isAudio));
    this.root.dataset.mode = isAudio ? "audio" : "text";
  }

  /** @param {string} notice empty to hide it */
  showNotice(notice) {
    byId("notice").textContent = notice;
    byId("notice").hidden = notice === "";
  }

  /** Welcome back a participant who resumes in the middle. */
  showWelcome() {
    if (this.part !== "step-form" || byId("back").hidden) return;
    byId("resumed").textContent = this.#placed("script.welcome");
    byId("resumed").hidden = false;
  }

  /** @param {string} key of a text with the step's number, whose form with the total has the ending "_of" */
  #placed(key) {
    return text(this.#position.total === undefined ? key : `${key}_of`, this.#position);
  }

  /** Hide the notes about an earlier action. */
  clearNotes() {
    byId("resumed").hidden = true;
    this.showNotice("");
  }

  /** @param {Session} session that is expired, or whose current step was removed from the survey */
  showUnresumable(session) {
    byId("unresumable-reason").textContent = text(`script.closed.${session.status === "expired" ? "expired" : "step_removed"}`);
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
