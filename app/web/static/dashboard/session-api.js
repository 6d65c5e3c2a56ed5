// @ts-check
/** One session as REST tells it: now, at any version, and its events; what can't change is asked for once. */

import { ask } from "./fetch-json.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 *
 * @typedef {import("../client/protocol.js").Session & {
 *   version: number, progress: number, session_data: Record<string, Json> | null,
 *   created_at: string, updated_at: string, completed_at: string | null,
 * }} State
 *
 * @typedef {object} HistoryEvent
 * @property {number} version
 * @property {string} action
 * @property {string | null} step
 * @property {Json} answer
 * @property {string} timestamp
 */

export const PAGE = 100; // events a page
const KEPT = 200; // states, at most

export class RecordedSession {
  /** @type {Map<number, State>} the oldest used first */
  #states = new Map();
  /** @type {Map<number, HistoryEvent[]>} full pages by number */
  #pages = new Map();
  #address;
  #survey;
  #definition;

  /**
   * @param {string} root of the server's addresses
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(root, surveyId, userId) {
    this.#address = `${root}/api/session/${encodeURIComponent(userId)}`;
    this.#definition = `${root}/api/surveys/${encodeURIComponent(surveyId)}`;
    this.#survey = surveyId;
  }

  /** @param {AbortSignal} [signal] @returns {Promise<State>} as it is now */
  async now(signal) {
    const { session } = await ask(this.#address, { survey: this.#survey }, signal);
    this.#keep(session);
    return session;
  }

  /** @param {number} version @param {AbortSignal} [signal] @returns {Promise<State>} as it was */
  async at(version, signal) {
    const known = this.#states.get(version);
    if (known !== undefined) return known;
    const { session } = await ask(this.#address, { survey: this.#survey, at_version: version }, signal);
    this.#keep(session);
    return session;
  }

  /**
   * The events of a page, and the one before the first of them, which says how long the pause was.
   *
   * @param {number} page from 0
   * @param {AbortSignal} [signal]
   * @returns {Promise<HistoryEvent[]>}
   */
  async events(page, signal) {
    const known = this.#pages.get(page);
    if (known !== undefined) return known;
    const before = page === 0 ? 0 : 1;
    const asked = { survey: this.#survey, after: page * PAGE - before, limit: PAGE + before };
    const { events } = await ask(`${this.#address}/history`, asked, signal);
    if (events.length === PAGE + before) this.#pages.set(page, events); // nothing can come into it any more
    return events;
  }

  /** @returns {Promise<Map<string, Step>>} the newest revision's steps; none where the survey is gone */
  async steps() {
    try {
      const { survey } = await ask(this.#definition);
      return new Map(survey.steps.map((/** @type {Step} */ step) => [step.id, step]));
    } catch {
      return new Map(); // then steps are called by their ids
    }
  }

  /** @param {State} state */
  #keep(state) {
    this.#states.delete(state.version);
    this.#states.set(state.version, state);
    const [oldest] = this.#states.keys();
    if (this.#states.size > KEPT) this.#states.delete(oldest);
  }
}
