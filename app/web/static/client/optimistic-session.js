// @ts-check
/**
 * The session as the page shows it: the server's newest one, plus the prediction for commands it does not include.
 *
 * So the answer to an older command never makes the page jump back, and a participant can continue offline.
 */

import { knownRoute, predict } from "./optimistic.js";

/**
 * @typedef {import("./protocol.js").Command} Command
 * @typedef {import("./protocol.js").Session} Session
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {import("./optimistic.js").KnownSurvey} KnownSurvey
 *
 * @typedef {import("./protocol.js").Ending} Ending
 *
 * @typedef {{step: Step | null, progress: number, version: number, ending: Ending | null}} Details
 * @typedef {import("./optimistic.js").Position & Details} ServerState
 *
 * @typedef {object} View
 * @property {Session} session
 * @property {Step | null} step
 * @property {number} progress 0 to 1
 * @property {Ending | null} ending of a completed session; null too while only this browser knows that it is completed
 * @property {boolean} isBlocked a command's outcome can't be predicted, and the session waits for the server
 */

export class OptimisticSession {
  /** @type {ServerState | null} the newest state that certainly includes the commands before it, and no others */
  #confirmed = null;
  /** @type {ServerMessage | null} the newest message whose session may include some unacknowledged commands */
  #ambiguous = null;
  /** @type {{id: string, state: ServerState} | null} the server's own prediction, up to this command */
  #pending = null;
  /** @type {Command[]} acknowledged, but not certainly in `#confirmed` */
  #acknowledged = [];
  /** @type {Command[]} */
  #unacknowledged = [];
  #survey;

  /** @param {(revision: string | null) => KnownSurvey} survey */
  constructor(survey) {
    this.#survey = survey;
  }

  /** The server's session without any prediction; null before the first message. */
  get confirmedSession() {
    return this.#confirmed?.session ?? null;
  }

  /**
   * Receive a server message.
   *
   * @param {ServerMessage} message
   * @param {Command[]} unacknowledged the commands left after it
   * @returns {Command | null} our command that the message answers
   */
  receive(message, unacknowledged) {
    const answered = this.#unacknowledged.find((command) => command.id === message.id) ?? null;
    this.#unacknowledged = unacknowledged;
    if (message.type === "pending") this.#setPending(message);
    else if (this.#isCertain(message)) this.#confirm(message);
    else this.#defer(message, answered);
    const latest = this.#ambiguous;
    if (unacknowledged.length === 0 && latest !== null) this.#confirm(latest);
    return answered;
  }

  /** @param {Command[]} unacknowledged */
  setUnacknowledged(unacknowledged) {
    this.#unacknowledged = unacknowledged;
  }

  /** @returns {View | null} null before the first message */
  view() {
    if (this.#confirmed === null) return null;
    const { base, commands } = this.#prediction(this.#confirmed);
    if (commands.length === 0) return { ...base, isBlocked: false };
    const survey = this.#survey(base.session.survey_revision);
    const { session, blockedBy } = predict(base, commands, survey);
    const isUnmoved = session.current_step === base.session.current_step;
    const step = isUnmoved ? base.step : this.#survey(session.survey_revision).step(session.current_step);
    const isUnknown = step === null || (!isUnmoved && isOwn(step));
    if (isUnknown && session.status !== "completed") return { ...base, isBlocked: true };
    const progress = progressOf(session, base, survey.size);
    const ending = session.status === "completed" ? base.ending : null; // of this walk: a restart ends the completion
    return { session, step, progress, ending, isBlocked: blockedBy !== null };
  }

  /**
   * Return the state to start from and the commands to predict: from the server's own prediction if there is one.
   *
   * @param {ServerState} confirmed
   */
  #prediction(confirmed) {
    const commands = [...this.#acknowledged, ...this.#unacknowledged];
    const index = commands.findIndex((command) => command.id === this.#pending?.id);
    if (this.#pending === null || index < 0) return { base: confirmed, commands };
    return { base: this.#pending.state, commands: commands.slice(index + 1) };
  }

  /**
   * Whether the session includes exactly our commands up to the one that the message answers. The session of a
   * duplicate's ack, or of a new connection's state, may include later ones too.
   *
   * @param {ServerMessage} message
   */
  #isCertain(message) {
    if (message.session === undefined) return false;
    if (this.#confirmed === null || this.#unacknowledged.length === 0) return true;
    if (message.type === "ack") return message.duplicate !== true;
    return message.type === "state" && message.version === this.#confirmed.version;
  }

  /** @param {ServerMessage} message */
  #confirm(message) {
    this.#confirmed = this.#toState(message);
    this.#ambiguous = null;
    this.#acknowledged = [];
  }

  /**
   * @param {ServerMessage} message
   * @param {Command | null} answered
   */
  #defer(message, answered) {
    if (message.session !== undefined) this.#ambiguous = message;
    if (message.type === "ack" && answered !== null) this.#acknowledged.push(answered);
    const isRejected = (message.type === "reject" || message.type === "error") && answered !== null;
    if (isRejected) this.#pending = null; // the server's prediction included the rejected command
    if (message.type === "state") this.#pending = null; // perhaps from another server, without that prediction
  }

  /** @param {ServerMessage} message */
  #setPending(message) {
    if (message.session !== undefined) this.#pending = { id: message.id ?? "", state: this.#toState(message) };
  }

  /**
   * @param {ServerMessage} message
   * @returns {ServerState}
   */
  #toState(message) {
    const session = /** @type {Session} */ (message.session);
    const route = knownRoute(session, this.#confirmed, this.#survey(session.survey_revision));
    const { step = null, progress = 0, version = 0, ending = null } = message;
    return { session, route, step, progress, version, ending };
  }
}

/**
 * Whether each session has its own form of a step, which only the server knows.
 *
 * @param {Step} step
 */
function isOwn({ depends_on: answers, order }) {
  return answers !== undefined || order === "random"; // [] of a step that depends on the time alone
}

/**
 * Predict the progress, with the number of steps that the server's own progress implies.
 *
 * @param {Session} session
 * @param {ServerState} base
 * @param {number | null} size
 */
function progressOf(session, base, size) {
  if (session.status === "completed") return 1;
  const total = base.progress > 0 ? base.session.step_history.length / base.progress : size;
  return total === null ? 0 : Math.min(1, session.step_history.length / total);
}
