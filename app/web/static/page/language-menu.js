// @ts-check
/**
 * The language of the page, which follows the session's: the participant chooses it here or on another device. An address
 * with `?lang=` chooses it too, once.
 */

import { withLanguage } from "./language.js";
import { changeLanguage } from "./texts.js";

/** @typedef {import("../client/protocol.js").Session} Session */

export class LanguageMenu {
  /** @type {HTMLSelectElement | null} only where the survey has several languages */
  #menu = /** @type {HTMLSelectElement | null} */ (document.getElementById("language"));
  /** The language of the page's texts, or that it is about to show. */
  #shown;
  /** @type {string | null} of the session so far */
  #followed = null;
  /** @type {string | null} of the page's address */
  #wanted = null;
  #choose;
  #changed;

  /**
   * @param {string} shown
   * @param {object} actions
   * @param {(language: string) => void} actions.choose make it the session's
   * @param {(language: string) => void} actions.changed the page's texts and direction are now in this language
   */
  constructor(shown, { choose, changed }) {
    this.#shown = shown;
    this.#choose = choose;
    this.#changed = changed;
    if (new URLSearchParams(location.search).has("lang")) this.#wanted = shown;
    this.#menu?.addEventListener("change", () => choose(this.#menu?.value ?? shown));
  }

  /** @param {Session | null} session as the server has confirmed it */
  async follow(session) {
    const language = session?.language ?? null;
    if (language === null || this.#menu === null) return;
    const wanted = this.#wanted;
    this.#wanted = null;
    const isSame = language === (this.#followed ?? this.#shown);
    this.#followed = language;
    if (wanted !== null && wanted !== language) return this.#choose(wanted);
    if (isSame && language === this.#shown) return this.#select(language);
    const isShown = language === this.#shown || (await this.#change(language));
    if (language !== this.#shown) return; // chosen meanwhile
    if (!isShown) return location.replace(withLanguage(language));
    const hadFocus = document.activeElement === this.#menu;
    this.#changed(language);
    this.#select(language);
    if (hadFocus) this.#menu?.focus();
  }

  /** @param {string} language */
  async #change(language) {
    this.#shown = language;
    return await changeLanguage(language);
  }

  /** @param {string} language */
  #select(language) {
    if (this.#menu !== null && this.#menu !== document.activeElement) this.#menu.value = language;
  }
}
