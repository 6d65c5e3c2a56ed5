// @ts-check
/**
 * A participant's session over the WebSocket, without a page (docs/browser-client.md; types in client.d.ts).
 *
 *     const client = new SurveyClient({ origin: location.origin, surveyId: "visit", userId: "user123" });
 *     client.addEventListener("state", (event) => console.log(event.detail.session));
 *     await client.start();
 *     const outcome = await client.answer("S1", "Yes"); // the ack, reject or error
 *
 * Each server message is dispatched as an event of its type, with the message as `detail`. Two more events: `change`
 * (connection or outbox) and `stopped` ({code, reason}: the client no longer reconnects). A command stays in the outbox
 * until its final answer, and is sent again in order after each reconnect; `pending` is not final.
 */

import { Connection, DEFAULT_TIMEOUTS } from "./connection.js";
import { Delivery } from "./delivery.js";
import { newCommandId } from "./ids.js";
import { Outbox } from "./outbox.js";
import { describeInEnglish, sendProblem } from "./strict-json.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Command} Command
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

export class SurveyClient extends EventTarget {
  /** @type {Map<string, (message: ServerMessage) => void>} by command id */
  #resolvers = new Map();
  #isOnline = false;
  #isConnecting = false;
  #isStopped = false;
  /** Counts connections, so that a slow `load` can see that its own is closed. */
  #epoch = 0;
  #connection;
  #delivery;
  #outbox;
  #describe;

  /** @param {import("./client.js").SurveyClientOptions} options */
  constructor({ origin, surveyId, userId, isAudio = false, language, parameters = {}, token, timeouts, describe = describeInEnglish }) {
    super();
    this.#describe = describe;
    const allTimeouts = { ...DEFAULT_TIMEOUTS, ...timeouts };
    this.#outbox = new Outbox(surveyId, userId, allTimeouts.storageTimeoutMs);
    const url = new URL(`${origin.replace(/\/$/, "")}/ws/survey/${encodeURIComponent(userId)}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    for (const [name, value] of new URLSearchParams(parameters)) url.searchParams.append(name, value);
    url.searchParams.set("survey", surveyId);
    url.searchParams.set("is_audio", String(isAudio));
    if (language !== undefined) url.searchParams.set("lang", language);
    const listener = {
      onMessage: (/** @type {ServerMessage} */ message) => this.#receive(message),
      onDisconnect: () => this.#handleDisconnect(),
      onStop: (/** @type {number} */ code, /** @type {string} */ reason) => this.#handleStop(code, reason),
    };
    this.#connection = new Connection(url.href, listener, allTimeouts, token);
    this.#delivery = new Delivery(this.#outbox, this.#connection, allTimeouts);
  }

  get isOnline() {
    return this.#isOnline;
  }

  get isConnecting() {
    return this.#isConnecting;
  }

  get unacknowledged() {
    return this.#outbox.size;
  }

  get unacknowledgedCommands() {
    return this.#outbox.commands;
  }

  get isDurable() {
    return this.#outbox.isDurable;
  }

  async start() {
    this.#isStopped = false;
    this.#isConnecting = true;
    await this.#outbox.load();
    globalThis.addEventListener?.("online", this.#onOnline);
    globalThis.addEventListener?.("offline", this.#onOffline);
    this.#connection.open();
  }

  stop() {
    globalThis.removeEventListener?.("online", this.#onOnline);
    globalThis.removeEventListener?.("offline", this.#onOffline);
    this.#connection.close();
    this.#end();
  }

  reconnectNow() {
    this.#connection.openNow();
  }

  #onOnline = () => this.reconnectNow();

  // A socket whose network is gone neither sends nor closes: a ping would find that out only after its timeout.
  #onOffline = () => this.#connection.replace();

  /**
   * @param {string} step
   * @param {Json} value
   * @param {{confirmed?: boolean}} [options]
   */
  answer(step, value, { confirmed = false } = {}) {
    return this.#submit({ type: "answer", step, value, ...(confirmed && { confirmed }) });
  }

  back() {
    return this.#submit({ type: "back" });
  }

  /** @param {string} step */
  goto(step) {
    return this.#submit({ type: "goto", step });
  }

  /** @param {boolean} audio */
  setMode(audio) {
    return this.#submit({ type: "mode", audio });
  }

  /** @param {string} language */
  setLanguage(language) {
    return this.#submit({ type: "language", language });
  }

  restart() {
    return this.#submit({ type: "restart" });
  }

  /**
   * @param {string} step
   * @param {Json} value
   */
  draft(step, value) {
    const message = { type: "draft", step, value };
    return this.#delivery.isFlushed && sendProblem(message) === null && this.#connection.send(message);
  }

  /**
   * @param {Omit<Command, "id">} content
   * @returns {Promise<ServerMessage>}
   */
  #submit(content) {
    const command = { id: newCommandId(), ...content }; // the server reads the id first, also of what is too large
    const problem = sendProblem(command, this.#describe);
    if (problem !== null) return Promise.resolve(this.#reject(command.id, problem));
    const outcome = new Promise((resolve) => this.#resolvers.set(command.id, resolve));
    void this.#outbox.add(command).then(() => this.#notifyChange()); // isDurable may have changed
    this.#delivery.flush();
    this.#notifyChange();
    if (this.#isStopped) this.#settleStopped();
    return outcome;
  }

  /**
   * @param {string} id
   * @param {string} problem
   * @returns {ServerMessage}
   */
  #reject(id, problem) {
    /** @type {ServerMessage} */
    const rejection = { type: "reject", id, code: "invalid_answer", message: problem };
    this.dispatchEvent(new CustomEvent("reject", { detail: rejection }));
    this.#notifyChange();
    return rejection;
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    if (message.type === "state") void this.#goOnline();
    const isOutcome = message.type === "ack" || message.type === "reject" || message.type === "error";
    if (isOutcome && typeof message.id === "string" && !this.#settle(message.id, message)) return this.#notifyChange();
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    if (message.type !== "state") this.#notifyChange();
  }

  /** Send the outbox: the server's `state` has shown that the session is open. */
  async #goOnline() {
    this.#connection.resetFailures();
    const epoch = (this.#epoch += 1);
    await this.#outbox.load(); // another tab may have been closed with commands in its outbox
    if (epoch !== this.#epoch) return; // disconnected meanwhile
    this.#rejectUnsendable();
    this.#isOnline = true;
    this.#isConnecting = false;
    this.#delivery.start();
    this.#notifyChange();
  }

  /** Remove what an earlier version of this client stored, but the server would refuse again and again. */
  #rejectUnsendable() {
    for (const command of this.#outbox.commands) {
      const problem = sendProblem(command, this.#describe);
      if (problem === null) continue;
      this.#outbox.remove(command.id);
      this.#reject(command.id, problem);
    }
  }

  #goOffline() {
    this.#isOnline = false;
    this.#isConnecting = false;
    this.#epoch += 1;
    this.#delivery.stop();
  }

  /**
   * @param {string} id
   * @param {ServerMessage} message
   * @returns {boolean} false: the answer is not final, and the command stays queued
   */
  #settle(id, message) {
    if (!this.#delivery.settle(message)) return false;
    this.#outbox.remove(id);
    this.#resolvers.get(id)?.(message);
    this.#resolvers.delete(id);
    return true;
  }

  #handleDisconnect() {
    this.#goOffline();
    this.#notifyChange();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #handleStop(code, reason) {
    this.#end();
    this.dispatchEvent(new CustomEvent("stopped", { detail: { code, reason } }));
    this.#notifyChange();
  }

  /** Go offline until `start`. */
  #end() {
    this.#isStopped = true;
    this.#goOffline();
    this.#settleStopped();
  }

  /** Resolve every promise: this client sends nothing any more, and the commands stay in the outbox. */
  #settleStopped() {
    const message = "The client is stopped. This is kept on this device, and sent when a client is started again.";
    for (const [id, resolve] of this.#resolvers) resolve({ type: "error", id, code: "stopped", message });
    this.#resolvers.clear();
  }

  #notifyChange() {
    this.dispatchEvent(new Event("change"));
  }
}
