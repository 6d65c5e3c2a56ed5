// @ts-check
/**
 * Keeps a page up to date while somebody looks at it.
 *
 * It asks again some seconds after each answer; not while the page is hidden or paused, and not when nobody has
 * touched it for long: what asks by itself would keep a sign-in open for ever on a desk that somebody has left.
 */

import { byId } from "../dom.js";
import { Refused } from "./fetch-json.js";
import { clock } from "./format.js";

const REST_PER_WORK = 5; // times as long as an answer took, at least: a slow database is not kept busy by onlookers
const LEFT_AFTER_MS = 10 * 60_000;

export class Live {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #asking = null;
  #touchedAt = Date.now();
  #isPaused = false;
  #isOver = false;
  #every_ms;
  #work;
  #updated = byId("updated");
  #trouble = byId("trouble");
  #pause = byId("pause");

  /**
   * @param {number} every_ms after an answer it asks again; each asking stands in the audit log
   * @param {(signal: AbortSignal) => Promise<void>} work asks and shows
   */
  constructor(every_ms, work) {
    this.#every_ms = every_ms;
    this.#work = work;
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#isPaused));
    document.addEventListener("visibilitychange", () => this.#look());
    for (const kind of ["pointerdown", "keydown", "wheel"]) {
      document.addEventListener(kind, () => this.#touch(), { passive: true });
    }
  }

  /** Ask now, whatever was asked before. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const began = performance.now();
    try {
      await this.#work(asking.signal);
      if (asking.signal.aborted) return;
      this.#trouble.hidden = true;
      this.#updated.textContent = this.#words(`Updated at ${clock(new Date())}`);
    } catch (error) {
      if (!asking.signal.aborted) this.#tell(error);
    } finally {
      // Also after a fault of the page: it must not stand still for good. Who was aborted has a successor that plans.
      if (!asking.signal.aborted) {
        this.#asking = null;
        this.#plan(Math.max(this.#every_ms, REST_PER_WORK * (performance.now() - began)));
      }
    }
  }

  /** @param {unknown} error */
  #tell(error) {
    if (!(error instanceof Refused)) throw error;
    this.#isOver = error.status === 401 || error.status === 403 || error.status === 404;
    this.#trouble.textContent = error.message;
    this.#trouble.hidden = false;
  }

  /** @param {number} wait_ms */
  #plan(wait_ms) {
    clearTimeout(this.#timer);
    if (this.#isPaused || this.#isOver || document.hidden) return;
    this.#timer = setTimeout(() => {
      if (Date.now() - this.#touchedAt > LEFT_AFTER_MS) this.#rest();
      else void this.refresh();
    }, wait_ms);
  }

  #rest() {
    this.#updated.textContent = "Updates rest while nobody is here";
  }

  #touch() {
    const wasLeft = Date.now() - this.#touchedAt > LEFT_AFTER_MS;
    this.#touchedAt = Date.now();
    if (wasLeft) this.#look();
  }

  #look() {
    if (document.hidden) clearTimeout(this.#timer);
    else if (!this.#isPaused && !this.#isOver && this.#asking === null) void this.refresh();
  }

  /** @param {boolean} isPaused */
  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#pause.setAttribute("aria-pressed", String(isPaused));
    this.#updated.textContent = this.#words((this.#updated.textContent ?? "").replace(/ · paused$/u, ""));
    if (isPaused) clearTimeout(this.#timer);
    else this.#look();
  }

  /** @param {string} text */
  #words(text) {
    return this.#isPaused ? `${text} · paused` : text;
  }
}
