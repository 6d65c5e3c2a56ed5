// @ts-check
/**
 * A participant's session over the WebSocket, without any page: other modules may use it by itself
 * (docs/browser-client.md; the types are in client.d.ts).
 *
 *     const client = new SurveyClient({ origin: location.origin, surveyId: "visit", userId: "user123" });
 *     client.addEventListener("state", (event) => console.log(event.detail.session));
 *     await client.start();
 *     const outcome = await client.answer("S1", "Yes"); // the ack, the reject or the error
 *
 * Each server message is dispatched as an event of its type, with the message as `detail`. Besides:
 * `change` (connected or not, the outbox grew or shrank) and `stopped` ({code, why}: no attempt will be
 * made any more). A command is in the outbox until the server has answered it for good, is sent again
 * after each reconnect in the old order, and the server applies it once. `pending` is no last answer.
 */

import { Connection, DEFAULT_TIMES } from "./connection.js";
import { Delivery } from "./delivery.js";
import { newCommandId } from "./ids.js";
import { Outbox } from "./outbox.js";
import { MAX_MESSAGE_BYTES } from "./protocol.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Command} Command
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

export class SurveyClient extends EventTarget {
  /** @type {Map<string, (message: ServerMessage) => void>} */
  #callers = new Map();
  #greeted = false;
  #greeting = 0;
  #connection;
  #delivery;
  #outbox;

  /**
   * @param {object} options
   * @param {string} options.origin http(s) address of the server, with its path prefix if it has one
   * @param {string} options.surveyId
   * @param {string} options.userId
   * @param {boolean} [options.isAudio] the mode that a new session begins in
   * @param {string} [options.token] the participant's resume token, where no cookie of this page's host has it
   * @param {Partial<import("./connection.js").ConnectionTimes>} [options.times]
   */
  constructor({ origin, surveyId, userId, isAudio = false, token, times }) {
    super();
    const allTimes = { ...DEFAULT_TIMES, ...times };
    this.#outbox = new Outbox(surveyId, userId, allTimes.storeWithinMs);
    const url = new URL(`${origin.replace(/\/$/, "")}/ws/survey/${encodeURIComponent(userId)}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("survey", surveyId);
    url.searchParams.set("is_audio", String(isAudio));
    this.#connection = new Connection(
      url.href,
      {
        message: (message) => this.#receive(message),
        down: () => this.#down(),
        stopped: (code, why) => this.#stopped(code, why),
      },
      allTimes,
      token,
    );
    this.#delivery = new Delivery(this.#outbox, this.#connection, allTimes);
  }

  /** Whether the server has greeted us on a connection that still stands. */
  get isOnline() {
    return this.#greeted;
  }

  /** How many commands the server has not answered yet. */
  get unacknowledged() {
    return this.#outbox.size;
  }

  /** These commands, oldest first. */
  get unacknowledgedCommands() {
    return this.#outbox.commands;
  }

  /** Whether they outlive this page; false where the browser forbids or lost its storage. */
  get isKeptOnDevice() {
    return this.#outbox.isDurable;
  }

  /** @returns {Promise<void>} once what earlier pages left is in the outbox, and the socket is opening */
  async start() {
    await this.#outbox.load();
    for (const type of ["online", "offline"]) globalThis.addEventListener?.(type, this.#retryNow);
    this.#connection.open();
  }

  stop() {
    for (const type of ["online", "offline"]) globalThis.removeEventListener?.(type, this.#retryNow);
    this.#leave();
    this.#connection.close();
  }

  /** Connect at once where there is no connection; else make sure that it is alive. */
  retryNow() {
    this.#connection.openNow();
  }

  #retryNow = () => this.retryNow();

  /**
   * @param {string} step
   * @param {Json} value
   */
  answer(step, value) {
    return this.#submit({ type: "answer", step, value });
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

  restart() {
    return this.#submit({ type: "restart" });
  }

  /**
   * Send the half-typed answer, unless a command waits that has to go before it. Drafts are not kept
   * here: the newest is sent again by the caller.
   *
   * @param {string} step
   * @param {Json} value
   * @returns {boolean} whether it was sent
   */
  draft(step, value) {
    const message = { type: "draft", step, value };
    return this.#delivery.isClear && !isTooLarge(message) && this.#connection.send(message);
  }

  /**
   * @param {Omit<Command, "id">} order
   * @returns {Promise<ServerMessage>} the server's last answer; never rejects, may take until the network is back
   */
  #submit(order) {
    const command = { ...order, id: newCommandId() };
    if (isTooLarge(command)) {
      const refusal = tooLarge(command);
      this.dispatchEvent(new CustomEvent("reject", { detail: refusal }));
      return Promise.resolve(refusal);
    }
    const answered = new Promise((resolve) => this.#callers.set(command.id, resolve));
    void this.#outbox.add(command).then(() => this.#changed()); // whether it is kept on the device
    this.#delivery.flush();
    this.#changed();
    return answered;
  }

  /** @param {ServerMessage} message */
  #receive(message) {
    if (message.type === "state") void this.#welcome();
    const isAnswer = message.type === "ack" || message.type === "reject" || message.type === "error";
    if (isAnswer && typeof message.id === "string" && !this.#settle(message.id, message)) return this.#changed();
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
    if (message.type !== "state") this.#changed();
  }

  /** Send what is unanswered, now that the server has said where the session stands. */
  async #welcome() {
    this.#connection.greeted();
    const greeting = (this.#greeting += 1);
    await this.#outbox.load(); // another tab may have been closed with commands of its own
    if (greeting !== this.#greeting) return; // the connection went down meanwhile
    this.#greeted = true;
    this.#delivery.begin();
    this.#changed();
  }

  /**
   * @param {string} id
   * @param {ServerMessage} message
   * @returns {boolean} false where this is not the last word, and the command stays
   */
  #settle(id, message) {
    if (!this.#delivery.take(message)) return false;
    this.#outbox.remove(id);
    this.#callers.get(id)?.(message);
    this.#callers.delete(id);
    return true;
  }

  #down() {
    this.#leave();
    this.#changed();
  }

  /**
   * @param {number} code
   * @param {string} why
   */
  #stopped(code, why) {
    this.#leave();
    this.dispatchEvent(new CustomEvent("stopped", { detail: { code, why } }));
    this.#changed();
  }

  #leave() {
    this.#greeted = false;
    this.#greeting += 1;
    this.#delivery.end();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {object} message */
function isTooLarge(message) {
  return new TextEncoder().encode(JSON.stringify(message)).length > MAX_MESSAGE_BYTES;
}

/**
 * @param {Command} command
 * @returns {ServerMessage}
 */
function tooLarge(command) {
  return {
    type: "reject",
    id: command.id,
    code: "invalid_answer",
    message: "This answer is too long to be sent. Please shorten it.",
  };
}
