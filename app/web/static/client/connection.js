// @ts-check
/**
 * A WebSocket that reconnects.
 *
 * partysocket makes the first attempts, with exponential backoff and jitter. After these, and after a close code of an
 * overloaded server, a slow timer opens a new socket for as long as the page is open. `openNow` skips the wait.
 */

import ReconnectingWebSocket from "./vendor/partysocket-1.3.0/ws.js";
import { BUSY_CLOSE_CODES, FINAL_CLOSE_CODES, subprotocols } from "./protocol.js";

/**
 * @typedef {import("./client.js").ClientTimeouts} ClientTimeouts
 * @typedef {InstanceType<typeof ReconnectingWebSocket>} Socket
 *
 * @typedef {object} Listener
 * @property {(message: any) => void} onMessage
 * @property {() => void} onDisconnect the connection is closed, and the next attempt is scheduled
 * @property {(code: number, reason: string) => void} onStop the connection is closed for good
 */

/** @type {ClientTimeouts} */
export const DEFAULT_TIMEOUTS = {
  connectAttempts: 5,
  connectDelayMs: 500,
  slowDelayMs: 20_000,
  busyDelayMs: 30_000,
  openTimeoutMs: 8_000,
  pingIntervalMs: 25_000,
  pingTimeoutMs: 10_000,
  sendAttempts: 3,
  sendDelayMs: 200,
  unavailableDelayMs: 2_000,
  storageTimeoutMs: 2_000,
};

export class Connection {
  /** @type {Socket | null} */
  #socket = null;
  #failures = 0;
  #isStopped = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reopenTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pingTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pongTimer;
  #url;
  #protocols;
  #listener;
  #timeouts;

  /**
   * @param {string} url
   * @param {Listener} listener
   * @param {ClientTimeouts} timeouts
   * @param {string} [token] the participant's resume token; sent in the handshake only
   */
  constructor(url, listener, timeouts, token) {
    this.#url = url;
    this.#protocols = subprotocols(token);
    this.#listener = listener;
    this.#timeouts = timeouts;
  }

  open() {
    this.#isStopped = false;
    this.#discardSocket();
    clearTimeout(this.#reopenTimer);
    const { connectDelayMs, openTimeoutMs } = this.#timeouts;
    const socket = new ReconnectingWebSocket(this.#url, this.#protocols, {
      minReconnectionDelay: withJitter(connectDelayMs),
      maxReconnectionDelay: connectDelayMs * 16,
      reconnectionDelayGrowFactor: 2,
      connectionTimeout: openTimeoutMs,
      maxEnqueuedMessages: 0, // the outbox queues messages, and in order
      shouldReconnectOnClose: (/** @type {{code: number}} */ event) => isQuicklyRetried(event.code),
    });
    socket.addEventListener("open", () => this.#startPings());
    socket.addEventListener("message", (event) => this.#receive(/** @type {MessageEvent} */ (event)));
    socket.addEventListener("close", (event) => this.#handleClose(socket, /** @type {CloseEvent} */ (event)));
    this.#socket = socket;
  }

  /** Open a socket without waiting for a timer, since partysocket can't be woken; ping a socket that is open. */
  openNow() {
    if (this.#isStopped) return;
    if (this.#socket?.readyState === ReconnectingWebSocket.OPEN) return this.ping();
    this.#failures = 0;
    this.open();
  }

  close() {
    this.#isStopped = true;
    clearTimeout(this.#reopenTimer);
    this.#discardSocket();
  }

  /** Count failures from zero: the server has sent its first message. */
  resetFailures() {
    this.#failures = 0;
  }

  /**
   * @param {object} message
   * @returns {boolean} whether an open socket took it; it may still be lost
   */
  send(message) {
    try {
      return this.#socket?.send(JSON.stringify(message)) ?? false;
    } catch {
      return false; // the socket has started to close
    }
  }

  /** Check that the server still answers, for example after the machine slept. */
  ping() {
    if (!this.send({ type: "ping" })) return;
    clearTimeout(this.#pongTimer);
    this.#pongTimer = setTimeout(() => this.replace(), this.#timeouts.pingTimeoutMs);
  }

  /** Replace a socket that seems to be open, but sends or receives nothing. */
  replace() {
    if (this.#isStopped) return;
    this.open();
    this.#listener.onDisconnect();
  }

  /** @param {MessageEvent} event */
  #receive(event) {
    clearTimeout(this.#pongTimer); // any message shows that the server is alive
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return; // not a message of this protocol, for example a proxy's
    }
    this.#listener.onMessage(message);
  }

  /**
   * @param {Socket} socket
   * @param {CloseEvent} event
   */
  #handleClose(socket, event) {
    if (socket !== this.#socket) return;
    this.#stopPings();
    const reason = FINAL_CLOSE_CODES.get(event.code);
    if (reason !== undefined) {
      this.#isStopped = true;
      console.warn("stepkeep: the server closed the connection", event.code, event.reason);
      this.#listener.onStop(event.code, reason);
      return;
    }
    this.#failures += 1;
    if (BUSY_CLOSE_CODES.has(event.code)) this.#reopenAfter(this.#timeouts.busyDelayMs);
    else if (this.#failures > this.#timeouts.connectAttempts) this.#reopenAfter(this.#timeouts.slowDelayMs);
    this.#listener.onDisconnect();
  }

  /** @param {number} delayMs */
  #reopenAfter(delayMs) {
    this.#discardSocket();
    clearTimeout(this.#reopenTimer);
    this.#reopenTimer = setTimeout(() => this.open(), withJitter(delayMs));
  }

  #discardSocket() {
    this.#stopPings();
    const socket = this.#socket;
    this.#socket = null; // before close(), which dispatches its event synchronously
    socket?.close();
  }

  #startPings() {
    this.#stopPings();
    this.#pingTimer = setInterval(() => this.ping(), this.#timeouts.pingIntervalMs);
  }

  #stopPings() {
    clearInterval(this.#pingTimer);
    clearTimeout(this.#pongTimer);
  }
}

/** @param {number} code */
function isQuicklyRetried(code) {
  return !FINAL_CLOSE_CODES.has(code) && !BUSY_CLOSE_CODES.has(code);
}

/**
 * Spread a delay by half up or down, so that clients of a restarted server do not reconnect together.
 *
 * @param {number} delayMs
 */
export function withJitter(delayMs) {
  return delayMs * (0.5 + Math.random());
}
