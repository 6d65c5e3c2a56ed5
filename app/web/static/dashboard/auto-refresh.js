// @ts-check
/**
 * Repeats a page's requests while the page is in use.
 *
 * It stops while the page is hidden or paused, and when nobody has used it for ten minutes: requests renew the sign-in,
 * which would otherwise never end on an abandoned desk.
 */

import { byId } from "../dom.js";
import { RequestError } from "./fetch-json.js";
import { formatClock } from "./format.js";

const MIN_IDLE_SHARE = 5; // the wait is at least this many times the last request's duration, to spare a slow database
const ABANDONED_MS = 10 * 60_000;

export class AutoRefresh {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {AbortController | null} */
  #request = null;
  #usedAtMs = Date.now();
  #isPaused = false;
  #isStopped = false;
  #intervalMs;
  #load;
  #updated = byId("updated");
  #error = byId("error");
  #pause = byId("pause");

  /**
   * @param {number} intervalMs from a response to the next request; each request is recorded in the audit log
   * @param {(signal: AbortSignal) => Promise<void>} load requests and shows the data
   */
  constructor(intervalMs, load) {
    this.#intervalMs = intervalMs;
    this.#load = load;
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#isPaused));
    document.addEventListener("visibilitychange", () => this.#resume());
    for (const type of ["pointerdown", "keydown", "wheel"]) {
      document.addEventListener(type, () => this.#recordUse(), { passive: true });
    }
  }

  /** Load now, and abort an earlier request. */
  async refresh() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    const request = new AbortController();
    this.#request = request;
    const startedAt = performance.now();
    try {
      await this.#load(request.signal);
      if (request.signal.aborted) return;
      this.#error.hidden = true;
      this.#updated.textContent = this.#status(`Updated at ${formatClock(new Date())}`);
    } catch (error) {
      if (!request.signal.aborted) this.#handleError(error);
    } finally {
      // Also after an unexpected error, so that the page keeps refreshing. After an abort, the newer request schedules.
      if (!request.signal.aborted) {
        this.#request = null;
        this.#schedule(Math.max(this.#intervalMs, MIN_IDLE_SHARE * (performance.now() - startedAt)));
      }
    }
  }

  /** @param {unknown} error */
  #handleError(error) {
    if (!(error instanceof RequestError)) throw error;
    this.#isStopped = error.status === 401 || error.status === 403 || error.status === 404;
    this.#error.textContent = error.message;
    this.#error.hidden = false;
  }

  /** @param {number} delayMs */
  #schedule(delayMs) {
    clearTimeout(this.#timer);
    if (this.#isPaused || this.#isStopped || document.hidden) return;
    this.#timer = setTimeout(() => {
      if (this.#isAbandoned) this.#updated.textContent = "Updates are paused while nobody uses this page";
      else void this.refresh();
    }, delayMs);
  }

  get #isAbandoned() {
    return Date.now() - this.#usedAtMs > ABANDONED_MS;
  }

  #recordUse() {
    const wasAbandoned = this.#isAbandoned;
    this.#usedAtMs = Date.now();
    if (wasAbandoned) this.#resume();
  }

  #resume() {
    if (document.hidden) clearTimeout(this.#timer);
    else if (!this.#isPaused && !this.#isStopped && this.#request === null) void this.refresh();
  }

  /** @param {boolean} isPaused */
  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#pause.setAttribute("aria-pressed", String(isPaused));
    this.#updated.textContent = this.#status((this.#updated.textContent ?? "").replace(/ · paused$/u, ""));
    if (isPaused) clearTimeout(this.#timer);
    else this.#resume();
  }

  /** @param {string} text */
  #status(text) {
    return this.#isPaused ? `${text} · paused` : text;
  }
}
