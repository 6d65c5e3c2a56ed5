// @ts-check
/**
 * Where the participant is: what the server said last, and what of the participant's commands it has
 * not answered yet, looked ahead. So the answer of an older command never makes the page jump back, and
 * the walk goes on without a connection as far as it can be foreseen.
 */

import { foresee, routeOf } from "./optimistic.js";

/**
 * @typedef {import("./protocol.js").Command} Command
 * @typedef {import("./protocol.js").Session} Session
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 * @typedef {import("./optimistic.js").Known} Known
 * @typedef {import("./optimistic.js").KnownSurvey} KnownSurvey
 *
 * @typedef {Known & {step: Step | null, progress: number, version: number}} Told what the server told
 *
 * @typedef {object} Shown what the page shows
 * @property {Session} session
 * @property {Step | null} step
 * @property {number} progress
 * @property {boolean} isKnown whether the session is all that will come of the commands; else it waits
 *   for the server to say where an answer leads
 */

export class Walk {
  /** @type {Told | null} */
  #told = null;
  /** @type {ServerMessage | null} the newest session of the server that can't be told from our commands yet */
  #held = null;
  /** @type {{id: string, told: Told} | null} the server accepted up to this command, and waits for its database */
  #pending = null;
  /** @type {Command[]} answered since `#told`, without a session that shows just these */
  #answered = [];
  /** @type {Command[]} */
  #waiting = [];
  #survey;

  /** @param {(revision: string | null) => KnownSurvey} survey */
  constructor(survey) {
    this.#survey = survey;
  }

  /** What the server said last, whatever was done here since. */
  get toldSession() {
    return this.#told?.session ?? null;
  }

  /**
   * Take a message of the server.
   *
   * @param {ServerMessage} message
   * @param {Command[]} waiting what the server has not answered after this message
   * @returns {Command | null} the command that the message answers, where it was one of ours
   */
  take(message, waiting) {
    const meant = this.#waiting.find((command) => command.id === message.id) ?? null;
    this.#waiting = waiting;
    if (message.type === "pending") this.#takePending(message);
    else if (this.#isPlain(message)) this.#tell(message);
    else this.#hold(message, meant);
    const kept = this.#held;
    if (waiting.length === 0 && kept !== null) this.#tell(kept);
    return meant;
  }

  /**
   * The commands that the server has not answered are these now.
   *
   * @param {Command[]} waiting
   */
  wait(waiting) {
    this.#waiting = waiting;
  }

  /** @returns {Shown | null} null before the server has said anything */
  look() {
    const told = this.#told;
    if (told === null) return null;
    const { from, commands } = this.#ahead(told);
    if (commands.length === 0) return { ...from, isKnown: true };
    const survey = this.#survey(from.session.survey_revision);
    const { session, endsAt } = foresee(from, commands, survey);
    const isThere = session.current_step === from.session.current_step;
    const step = isThere ? from.step : this.#survey(session.survey_revision).step(session.current_step);
    if (step === null && session.status !== "completed") return { ...from, isKnown: false }; // it can't be shown
    return { session, step, progress: progressOf(session, from, survey.size), isKnown: endsAt === null };
  }

  /**
   * From where to look ahead, and at what: the server's own foresight goes before ours.
   *
   * @param {Told} told
   */
  #ahead(told) {
    const commands = [...this.#answered, ...this.#waiting];
    const upTo = commands.findIndex((command) => command.id === this.#pending?.id);
    if (this.#pending === null || upTo < 0) return { from: told, commands };
    return { from: this.#pending.told, commands: commands.slice(upTo + 1) };
  }

  /**
   * Whether the message's session shows just the commands up to the one that it answers. A duplicate's
   * shows later ones of ours too, if the server had these already, as a new greeting's may.
   *
   * @param {ServerMessage} message
   */
  #isPlain(message) {
    if (message.session === undefined) return false;
    if (this.#told === null || this.#waiting.length === 0) return true;
    if (message.type === "ack") return message.duplicate !== true;
    return message.type === "state" && message.version === this.#told.version;
  }

  /** @param {ServerMessage} message */
  #tell(message) {
    this.#told = this.#read(message);
    this.#held = null;
    this.#answered = [];
  }

  /**
   * @param {ServerMessage} message
   * @param {Command | null} meant
   */
  #hold(message, meant) {
    if (message.session !== undefined) this.#held = message;
    if (message.type === "ack" && meant !== null) this.#answered.push(meant);
    const isRefused = (message.type === "reject" || message.type === "error") && meant !== null;
    if (isRefused) this.#pending = null; // what the server foresaw is void with what it refused in the end
    if (message.type === "state") this.#pending = null; // another server's memory, perhaps
  }

  /** @param {ServerMessage} message */
  #takePending(message) {
    if (message.session !== undefined) this.#pending = { id: message.id ?? "", told: this.#read(message) };
  }

  /**
   * @param {ServerMessage} message
   * @returns {Told}
   */
  #read({ session, step, progress, version }) {
    const shown = /** @type {Session} */ (session);
    const route = routeOf(shown, this.#told, this.#survey(shown.survey_revision));
    return { session: shown, route, step: step ?? null, progress: progress ?? 0, version: version ?? 0 };
  }
}

/**
 * The progress on a walk of as many steps as the server took it to have; never more than it will say.
 *
 * @param {Session} session
 * @param {Told} told
 * @param {number | null} size
 */
function progressOf(session, told, size) {
  if (session.status === "completed") return 1;
  const was = told.session.step_history.length;
  const all = told.progress > 0 ? was / told.progress : size;
  return all === null ? 0 : Math.min(1, session.step_history.length / all);
}
