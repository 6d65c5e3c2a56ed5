// @ts-check
/**
 * On a shared device (STEPKEEP_KIOSK_MINUTES): asks whether the participant is still there, and leaves the device
 * otherwise. The dialog covers what they answered. Unsent answers are sent first.
 */

import { byId } from "../dom.js";
import { text } from "./texts.js";

const COUNTDOWN_S = 30; // WCAG 2.2, 2.2.1 asks for 20
const RETRY_MS = 3_000;
const ACTIVITY = ["pointerdown", "keydown", "input", "scroll", "wheel", "touchstart"];

/** @typedef {"opened" | "idle" | "done"} Reason */

export class Kiosk {
  #departure;
  #dialog = /** @type {HTMLDialogElement} */ (byId("kiosk"));
  #idleMs = Number(byId("kiosk").dataset.minutes) * 60_000;
  #activeAtMs = Date.now();
  #clearAtMs = 0;
  #isClearing = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Reason | null} why the dialog is open */
  #reason = null;
  #isNew = true;
  #isDone = false;
  #hasBegun = false;

  /** @param {import("./departure.js").Departure} departure */
  constructor(departure) {
    this.#departure = departure;
    for (const type of ACTIVITY) addEventListener(type, () => this.touch(), { capture: true, passive: true });
    document.addEventListener("visibilitychange", () => this.#tick());
    byId("kiosk-stay").addEventListener("click", () => this.#stay());
    byId("kiosk-clear").addEventListener("click", () => {
      if (!this.#isClearing) void this.#clear();
    });
    this.#dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      this.#stay();
    });
    if (this.#dialog.dataset.returning !== undefined) this.#ask("opened");
    this.#tick();
  }

  /** The participant did something. */
  touch() {
    this.#activeAtMs = Date.now();
  }

  /**
   * @param {boolean} hasBegun whether the session has an answer or a draft: else there is nothing to clear
   * @param {boolean} isDone whether it is completed and saved
   */
  update(hasBegun, isDone) {
    this.#hasBegun = hasBegun;
    if (this.#isNew && !hasBegun && this.#reason === "opened") this.#stay();
    if (isDone && !this.#isDone && this.#reason === null) this.#ask("done");
    this.#isNew = false;
    this.#isDone = isDone;
  }

  /** @param {Reason} reason */
  #ask(reason) {
    this.#reason = reason;
    this.#clearAtMs = Date.now() + COUNTDOWN_S * 1000;
    for (const part of ["heading", "text", "stay"]) byId(`kiosk-${part}`).textContent = text(`script.kiosk.${reason}.${part}`);
    byId("kiosk-note").textContent = "";
    byId("kiosk-timer").hidden = false;
    this.#dialog.showModal();
    this.#tick();
  }

  #stay() {
    this.#reason = null;
    this.#isClearing = false;
    this.#dialog.close();
    this.touch();
    this.#tick();
  }

  /** Ask after the idle time, count down while asking, and clear the device at the end. */
  #tick() {
    if (this.#isClearing) return;
    clearTimeout(this.#timer);
    const now = Date.now();
    if (this.#reason === null) {
      if (this.#hasBegun && now >= this.#activeAtMs + this.#idleMs) return this.#ask("idle");
    } else {
      const seconds = Math.max(0, Math.ceil((this.#clearAtMs - now) / 1000));
      byId("kiosk-countdown").textContent = text("script.kiosk.seconds", { count: seconds });
      /** @type {HTMLProgressElement} */ (byId("kiosk-progress")).value = seconds / COUNTDOWN_S;
      if (seconds === 0) return void this.#clear();
    }
    this.#timer = setTimeout(() => this.#tick(), 1000 - (now % 1000) + 1);
  }

  /** Clear the device as soon as everything is saved, unless the participant stays. */
  async #clear() {
    clearTimeout(this.#timer);
    this.#isClearing = true;
    const problem = this.#departure.hasUnsaved ? text("script.kiosk.waiting") : await this.#departure.leave();
    if (problem === "" || !this.#isClearing) return; // the page is being replaced, or the participant stays
    byId("kiosk-timer").hidden = true;
    byId("kiosk-note").textContent = problem;
    this.#timer = setTimeout(() => void this.#clear(), RETRY_MS);
  }
}
