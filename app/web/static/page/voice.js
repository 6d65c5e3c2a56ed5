// @ts-check
/** Speech synthesis and recognition by the browser (Web Speech API), one utterance or one answer at a time. */

import { surveyLanguage } from "./language.js";

/** @type {any} */
const Recognition = /** @type {any} */ (globalThis).SpeechRecognition ?? /** @type {any} */ (globalThis).webkitSpeechRecognition;

const MAX_UTTERANCE_MS = 60_000; // some engines never report the end of an utterance

export class Voice {
  /** @type {any} */
  #recognition = null;

  get canSpeak() {
    return "speechSynthesis" in globalThis && "SpeechSynthesisUtterance" in globalThis;
  }

  get canListen() {
    return Recognition !== undefined;
  }

  /**
   * @param {string} text
   * @returns {Promise<"spoken" | "silent" | "blocked">} silent: stopped, or no voice is installed; blocked: the browser
   *   requires a user gesture first
   */
  speak(text) {
    if (!this.canSpeak) return Promise.resolve("silent");
    return new Promise((resolve) => {
      const utterance = new SpeechSynthesisUtterance(text);
      utterance.lang = surveyLanguage();
      const timer = setTimeout(() => resolve("silent"), MAX_UTTERANCE_MS);
      utterance.onend = () => resolve("spoken");
      utterance.onerror = (event) => resolve(event.error === "not-allowed" ? "blocked" : "silent");
      utterance.addEventListener("end", () => clearTimeout(timer));
      utterance.addEventListener("error", () => clearTimeout(timer));
      speechSynthesis.cancel();
      speechSynthesis.speak(utterance);
    });
  }

  /**
   * @returns {Promise<{transcript: string} | {error: string}>} an error code of the Web Speech API, such as
   *   `not-allowed`, `no-speech`, `network` or `aborted`
   */
  listen() {
    if (!this.canListen) return Promise.resolve({ error: "service-not-allowed" });
    return new Promise((resolve) => {
      const recognition = new Recognition();
      recognition.lang = surveyLanguage();
      recognition.interimResults = false;
      recognition.onresult = (/** @type {any} */ event) => resolve({ transcript: event.results[0][0].transcript });
      recognition.onerror = (/** @type {any} */ event) => resolve({ error: event.error });
      recognition.onend = () => resolve({ error: "no-speech" });
      this.#recognition = recognition;
      try {
        recognition.start();
      } catch {
        resolve({ error: "aborted" }); // another page of this browser is listening
      }
    });
  }

  /** Stop speaking and listening. */
  stop() {
    if (this.canSpeak) speechSynthesis.cancel();
    this.#recognition?.abort();
    this.#recognition = null;
  }
}
