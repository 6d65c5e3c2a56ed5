// @ts-check
/** The browser's voice and ear (Web Speech), one utterance or one answer at a time. No words of its own. */

/** @type {any} */
const Recognition = /** @type {any} */ (globalThis).SpeechRecognition ?? /** @type {any} */ (globalThis).webkitSpeechRecognition;

const SILENT_AFTER_MS = 60_000; // some engines never tell that an utterance ended

export class Voice {
  #language;
  /** @type {any} */
  #recognition = null;

  /** @param {string} language BCP 47 */
  constructor(language) {
    this.#language = language;
  }

  get canSpeak() {
    return "speechSynthesis" in globalThis && "SpeechSynthesisUtterance" in globalThis;
  }

  get canListen() {
    return Recognition !== undefined;
  }

  /**
   * @param {string} text
   * @returns {Promise<"spoken" | "silent" | "blocked">} silent: it was stopped, or there is no voice here;
   *   blocked: the browser wants a press of a button first
   */
  speak(text) {
    if (!this.canSpeak) return Promise.resolve("silent");
    return new Promise((resolve) => {
      const utterance = new SpeechSynthesisUtterance(text);
      utterance.lang = this.#language;
      const timer = setTimeout(() => resolve("silent"), SILENT_AFTER_MS);
      utterance.onend = () => resolve("spoken");
      utterance.onerror = (event) => resolve(event.error === "not-allowed" ? "blocked" : "silent");
      utterance.addEventListener("end", () => clearTimeout(timer));
      utterance.addEventListener("error", () => clearTimeout(timer));
      speechSynthesis.cancel();
      speechSynthesis.speak(utterance);
    });
  }

  /**
   * @returns {Promise<{heard: string} | {failed: string}>} failed with Web Speech's error code, e.g.
   *   `not-allowed`, `no-speech`, `network`, or `aborted`
   */
  listen() {
    if (!this.canListen) return Promise.resolve({ failed: "service-not-allowed" });
    return new Promise((resolve) => {
      const recognition = new Recognition();
      recognition.lang = this.#language;
      recognition.interimResults = false;
      recognition.onresult = (/** @type {any} */ event) => resolve({ heard: event.results[0][0].transcript });
      recognition.onerror = (/** @type {any} */ event) => resolve({ failed: event.error });
      recognition.onend = () => resolve({ failed: "no-speech" });
      this.#recognition = recognition;
      try {
        recognition.start();
      } catch {
        resolve({ failed: "aborted" }); // another page of this browser is listening
      }
    });
  }

  /** Be quiet and stop listening. */
  stop() {
    if (this.canSpeak) speechSynthesis.cancel();
    this.#recognition?.abort();
    this.#recognition = null;
  }
}
