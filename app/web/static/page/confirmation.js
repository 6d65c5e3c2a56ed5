// @ts-check
/** The question whether an unusual answer is right, in place of the form's buttons. */

import { byId } from "../dom.js";

export class Confirmation {
  /** @type {() => void} */
  #accept = () => {};

  /** @param {() => void} change the participant changes the answer instead */
  constructor(change) {
    byId("confirm-yes").addEventListener("click", () => this.accept());
    byId("confirm-change").addEventListener("click", () => {
      this.clear();
      change();
    });
  }

  get isOpen() {
    return !byId("confirm").hidden;
  }

  /**
   * @param {string} warnings
   * @param {() => void} accept the answer is right
   */
  ask(warnings, accept) {
    this.#accept = accept;
    byId("confirm-text").textContent = warnings;
    this.#show(true);
    this.focus();
  }

  accept() {
    if (this.isOpen) this.#accept();
  }

  focus() {
    byId("confirm").focus();
  }

  clear() {
    this.#show(false);
  }

  /** @param {boolean} isOpen */
  #show(isOpen) {
    byId("confirm").hidden = !isOpen;
    byId("step-actions").hidden = isOpen;
  }
}
