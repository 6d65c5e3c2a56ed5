// @ts-check
/**
 * Brings the outbox to the server: each command once a connection, in the order in which they were given.
 *
 * What the socket doesn't take is tried again a little later, then on a new connection. What the server
 * can't take just now (`unavailable`, `rate_limited`) stays, and so does everything after it: a later
 * answer is refused only because the one before it is not there yet, so a refusal in its shadow is not
 * the last word, and both are sent again in their order.
 */

import { jittered } from "./connection.js";
import { PASSING_ERROR_CODES } from "./protocol.js";

/**
 * @typedef {import("./protocol.js").Command} Command
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

export class Delivery {
  #isOpen = false;
  /** @type {Set<string>} the commands that this connection has taken */
  #sent = new Set();
  /** @type {Set<string>} the commands that the server could not take just now */
  #putOff = new Set();
  #failures = 0;
  #rounds = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #outbox;
  #connection;
  #times;

  /**
   * @param {import("./outbox.js").Outbox} outbox
   * @param {import("./connection.js").Connection} connection
   * @param {import("./connection.js").ConnectionTimes} times
   */
  constructor(outbox, connection, times) {
    this.#outbox = outbox;
    this.#connection = connection;
    this.#times = times;
  }

  /** Whether all that was given has gone out on this connection; a draft may only follow it. */
  get isClear() {
    return this.#isOpen && this.#putOff.size === 0 && this.#outbox.commands.every(({ id }) => this.#sent.has(id));
  }

  /** The server has greeted us: whatever it has not answered is sent, again or for the first time. */
  begin() {
    this.end();
    this.#isOpen = true;
    this.flush();
  }

  /** The connection is gone. */
  end() {
    clearTimeout(this.#timer);
    this.#isOpen = false;
    this.#sent.clear();
    this.#putOff.clear();
    this.#failures = 0;
  }

  /** Send what this connection has not taken yet, unless it has to wait for something before it. */
  flush() {
    if (!this.#isOpen || this.#putOff.size > 0) return;
    for (const command of this.#outbox.commands) {
      if (this.#sent.has(command.id)) continue;
      if (!this.#connection.send(command)) return this.#failed();
      this.#sent.add(command.id);
      this.#failures = 0;
    }
  }

  /**
   * Take the server's answer to a command.
   *
   * @param {ServerMessage} message an ack, a reject or an error
   * @returns {boolean} whether the command is done with; otherwise it will be sent again
   */
  take(message) {
    const id = message.id ?? "";
    const isPassing = message.type === "error" && PASSING_ERROR_CODES.has(message.code ?? "");
    if (isPassing || (message.type === "reject" && this.#isInShadow(id))) {
      this.#putOff.add(id);
      this.#sendAgainLater();
      return false;
    }
    if (this.#putOff.delete(id) && this.#putOff.size === 0) {
      this.#rounds = 0;
      this.flush(); // what was given meanwhile
    }
    return true;
  }

  /** @param {string} id */
  #isInShadow(id) {
    for (const command of this.#outbox.commands) {
      if (command.id === id) return false;
      if (this.#putOff.has(command.id)) return true;
    }
    return false;
  }

  #failed() {
    this.#failures += 1;
    clearTimeout(this.#timer);
    if (this.#failures >= this.#times.sendTries) this.#connection.renew();
    else this.#timer = setTimeout(() => this.flush(), this.#times.sendDelayMs * this.#failures);
  }

  #sendAgainLater() {
    clearTimeout(this.#timer);
    const delayMs = Math.min(this.#times.againDelayMs * 2 ** this.#rounds, this.#times.slowDelayMs);
    this.#timer = setTimeout(() => this.#sendAgain(), jittered(delayMs));
  }

  #sendAgain() {
    this.#rounds += 1;
    for (const command of this.#outbox.commands) {
      if (!this.#connection.send(command)) return this.#connection.renew();
      this.#sent.add(command.id);
    }
  }
}
