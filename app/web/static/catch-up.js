// @ts-check
/**
 * After a reconnect the server tells where the session stands, and then answers, one by one, the
 * commands that were sent again. The participant may be further on than any of these but the last; so
 * the page stays as it is until the last is answered, rather than run through the steps once more.
 */

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */

export class CatchUp {
  /** @type {Set<string>} the commands that were sent again and have no answer yet */
  #unanswered = new Set();
  /** @type {ServerMessage | null} */
  #held = null;

  /**
   * The server has greeted the page again.
   *
   * @param {string[]} resent the ids of the commands that are sent again
   */
  begin(resent) {
    this.#unanswered = new Set(resent);
    this.#held = null;
  }

  /**
   * Take a message, and return what the page should show now: null while it should wait.
   *
   * @param {ServerMessage} message
   * @returns {ServerMessage | null}
   */
  take(message) {
    if (typeof message.id === "string") this.#unanswered.delete(message.id);
    if (message.session) this.#held = message;
    if (this.#unanswered.size > 0) return null;
    const shown = this.#held;
    this.#held = null;
    return shown;
  }
}
