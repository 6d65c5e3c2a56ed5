// @ts-check
/**
 * One socket to the server that comes back by itself.
 *
 * partysocket makes the quick attempts (exponential back-off from a delay that each page draws for
 * itself, so that a restarted server isn't met by everybody at once). After these, and where the
 * server said that it is busy, a slow timer opens a fresh socket for as long as the page is there; the
 * browser's `online` event opens one at once, because partysocket can't be woken from its wait.
 */

import { BUSY_CLOSE_CODES, FINAL_CLOSE_CODES, subprotocols } from "./protocol.js";
import ReconnectingWebSocket from "../vendor/partysocket-1.3.0/ws.js";

/**
 * @typedef {object} ConnectionTimes
 * @property {number} quickTries attempts with growing delays, before the slow ones
 * @property {number} firstDelayMs before jitter
 * @property {number} slowDelayMs between attempts after the quick ones, for as long as the page is open
 * @property {number} busyDelayMs after a close with 1013 or 4429
 * @property {number} connectWithinMs
 * @property {number} pingEveryMs
 * @property {number} pongWithinMs
 * @property {number} sendTries attempts to hand a command to the socket, before the connection is made anew
 * @property {number} sendDelayMs after the first of these; after the second twice as long
 * @property {number} againDelayMs before a command is sent again that the server could not take just
 *   now; doubles each time, up to slowDelayMs
 * @property {number} storeWithinMs the longest wait for the browser's storage; afterwards memory must do
 *
 * @typedef {InstanceType<typeof ReconnectingWebSocket>} Socket
 *
 * @typedef {object} Listener
 * @property {(message: any) => void} message
 * @property {() => void} down the connection is gone; another attempt is under way
 * @property {(code: number, why: string) => void} stopped no attempt will be made any more
 */

/** @type {ConnectionTimes} */
export const DEFAULT_TIMES = {
  quickTries: 5,
  firstDelayMs: 500,
  slowDelayMs: 20_000,
  busyDelayMs: 30_000,
  connectWithinMs: 8_000,
  pingEveryMs: 25_000,
  pongWithinMs: 10_000,
  sendTries: 3,
  sendDelayMs: 200,
  againDelayMs: 2_000,
  storeWithinMs: 2_000,
};

export class Connection {
  /** @type {Socket | null} */
  #socket = null;
  #failures = 0;
  #stopped = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #slowTimer;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #pingTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pongTimer;
  #url;
  #protocols;
  #listener;
  #times;

  /**
   * @param {string} url
   * @param {Listener} listener
   * @param {Partial<ConnectionTimes>} [times]
   * @param {string} [token] a participant's resume token; it goes nowhere but into the handshake
   */
  constructor(url, listener, times = {}, token) {
    this.#url = url;
    this.#protocols = subprotocols(token);
    this.#listener = listener;
    this.#times = { ...DEFAULT_TIMES, ...times };
  }

  open() {
    this.#stopped = false;
    this.#discardSocket();
    clearTimeout(this.#slowTimer);
    const { firstDelayMs, connectWithinMs } = this.#times;
    const socket = new ReconnectingWebSocket(this.#url, this.#protocols, {
      minReconnectionDelay: jittered(firstDelayMs),
      maxReconnectionDelay: firstDelayMs * 16,
      reconnectionDelayGrowFactor: 2,
      connectionTimeout: connectWithinMs,
      maxEnqueuedMessages: 0, // the outbox keeps what is unsent, and in order
      shouldReconnectOnClose: (/** @type {{code: number}} */ event) => comesBackSoon(event.code),
    });
    socket.addEventListener("open", () => this.#beginPings());
    socket.addEventListener("message", (event) => this.#receive(/** @type {MessageEvent} */ (event)));
    socket.addEventListener("close", (event) => this.#closed(socket, /** @type {CloseEvent} */ (event)));
    this.#socket = socket;
  }

  /** Try now rather than at the next turn of a timer; where a socket is open, see whether it lives. */
  openNow() {
    if (this.#stopped) return;
    if (this.#socket?.readyState === ReconnectingWebSocket.OPEN) return this.probe();
    this.#failures = 0;
    this.open();
  }

  close() {
    this.#stopped = true;
    clearTimeout(this.#slowTimer);
    this.#discardSocket();
  }

  /** The server has greeted us: what comes next is a new outage with quick attempts of its own. */
  greeted() {
    this.#failures = 0;
  }

  /**
   * @param {object} message
   * @returns {boolean} whether it went to an open socket (which doesn't say that it arrived)
   */
  send(message) {
    try {
      return this.#socket?.send(JSON.stringify(message)) ?? false;
    } catch {
      return false; // the browser has just begun to close it
    }
  }

  /** @param {MessageEvent} event */
  #receive(event) {
    clearTimeout(this.#pongTimer); // whatever arrives shows that the server is there
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return; // a frame of a proxy's or a later protocol's; nothing that we wait for
    }
    this.#listener.message(message);
  }

  /**
   * @param {Socket} socket
   * @param {CloseEvent} event
   */
  #closed(socket, event) {
    if (socket !== this.#socket) return;
    this.#endPings();
    const why = FINAL_CLOSE_CODES.get(event.code);
    if (why !== undefined) {
      this.#stopped = true;
      this.#listener.stopped(event.code, why);
      return;
    }
    this.#failures += 1;
    if (BUSY_CLOSE_CODES.has(event.code)) this.#openLater(this.#times.busyDelayMs);
    else if (this.#failures > this.#times.quickTries) this.#openLater(this.#times.slowDelayMs);
    this.#listener.down();
  }

  /** @param {number} delayMs */
  #openLater(delayMs) {
    this.#discardSocket();
    clearTimeout(this.#slowTimer);
    this.#slowTimer = setTimeout(() => this.open(), jittered(delayMs));
  }

  #discardSocket() {
    this.#endPings();
    const socket = this.#socket;
    this.#socket = null; // first: close() tells its listeners at once
    socket?.close();
  }

  /** Find out whether the server is still there, e.g. after the machine slept. */
  probe() {
    if (!this.send({ type: "ping" })) return;
    clearTimeout(this.#pongTimer);
    this.#pongTimer = setTimeout(() => this.renew(), this.#times.pongWithinMs);
  }

  #beginPings() {
    this.#endPings();
    this.#pingTimer = setInterval(() => this.probe(), this.#times.pingEveryMs);
  }

  #endPings() {
    clearInterval(this.#pingTimer);
    clearTimeout(this.#pongTimer);
  }

  /** The socket takes nothing, or answers nothing, although it seems to be open. */
  renew() {
    if (this.#stopped) return;
    this.open();
    this.#listener.down();
  }
}

/** @param {number} code */
function comesBackSoon(code) {
  return !FINAL_CLOSE_CODES.has(code) && !BUSY_CLOSE_CODES.has(code);
}

/** @param {number} delayMs */
export function jittered(delayMs) {
  return delayMs * (0.5 + Math.random());
}
