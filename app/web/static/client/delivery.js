// @ts-check
/**
 * Sends the outbox: each command once a connection, in order.
 *
 * A command that got a transient error (`unavailable`, `rate_limited`) is deferred: it stays in the outbox with
 * everything behind it. A later command is then rejected only because its predecessor is missing, so such a reject is
 * not final either; all are sent again in order after a backoff.
 */

import { withJitter } from "./connection.js";
import { TRANSIENT_ERROR_CODES } from "./protocol.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */

export class Delivery {
  #isOpen = false;
  /** @type {Set<string>} ids that this connection took */
  #sent = new Set();
  /** @type {Set<string>} ids to send again */
  #deferred = new Set();
  #failures = 0;
  #retries = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #outbox;
  #connection;
  #timeouts;

  /**
   * @param {import("./outbox.js").Outbox} outbox
   * @param {import("./connection.js").Connection} connection
   * @param {import("./client.js").ClientTimeouts} timeouts
   */
  constructor(outbox, connection, timeouts) {
    this.#outbox = outbox;
    this.#connection = connection;
    this.#timeouts = timeouts;
  }

  /** Whether this connection took every queued command; a draft may be sent only then. */
  get isFlushed() {
    return this.#isOpen && this.#deferred.size === 0 && this.#outbox.commands.every(({ id }) => this.#sent.has(id));
  }

  /** Start on a new connection: every command in the outbox is sent, again or for the first time. */
  start() {
    this.stop();
    this.#isOpen = true;
    this.flush();
  }

  stop() {
    clearTimeout(this.#timer);
    this.#isOpen = false;
    this.#sent.clear();
    this.#deferred.clear();
    this.#failures = 0;
  }

  /** Send what this connection has not taken yet, unless a deferred command comes first. */
  flush() {
    if (!this.#isOpen || this.#deferred.size > 0) return;
    for (const command of this.#outbox.commands) {
      if (this.#sent.has(command.id)) continue;
      if (!this.#connection.send(command)) return this.#retrySend();
      this.#sent.add(command.id);
      this.#failures = 0;
    }
  }

  /**
   * Handle the server's answer to a command.
   *
   * @param {ServerMessage} message an ack, a reject or an error
   * @returns {boolean} whether the answer is final; if not, the command is sent again
   */
  settle(message) {
    const id = message.id ?? "";
    const isTransient = message.type === "error" && TRANSIENT_ERROR_CODES.has(message.code ?? "");
    if (isTransient || (message.type === "reject" && this.#isBehindDeferred(id))) {
      this.#deferred.add(id);
      this.#scheduleResend();
      return false;
    }
    if (this.#deferred.delete(id) && this.#deferred.size === 0) {
      this.#retries = 0;
      this.flush(); // commands queued meanwhile
    }
    return true;
  }

  /** @param {string} id */
  #isBehindDeferred(id) {
    for (const command of this.#outbox.commands) {
      if (command.id === id) return false;
      if (this.#deferred.has(command.id)) return true;
    }
    return false;
  }

  #retrySend() {
    this.#failures += 1;
    clearTimeout(this.#timer);
    if (this.#failures >= this.#timeouts.sendAttempts) this.#connection.replace();
    else this.#timer = setTimeout(() => this.flush(), this.#timeouts.sendDelayMs * this.#failures);
  }

  #scheduleResend() {
    clearTimeout(this.#timer);
    const delayMs = Math.min(this.#timeouts.unavailableDelayMs * 2 ** this.#retries, this.#timeouts.slowDelayMs);
    this.#timer = setTimeout(() => this.#resend(), withJitter(delayMs));
  }

  #resend() {
    this.#retries += 1;
    for (const command of this.#outbox.commands) {
      if (!this.#connection.send(command)) return this.#connection.replace();
      this.#sent.add(command.id);
    }
  }
}
