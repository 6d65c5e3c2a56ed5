// @ts-check
/** One session from the REST API: its present state, its state at any version, and its events. Caches what is final. */

import { fetchJson } from "./fetch-json.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 *
 * @typedef {import("../client/protocol.js").Session & {
 *   version: number, progress: number, created_at: string, updated_at: string, completed_at: string | null,
 * }} State
 *
 * @typedef {object} HistoryEvent
 * @property {number} version
 * @property {string} action
 * @property {string | null} step
 * @property {Json} answer
 * @property {string} timestamp
 * @property {Record<string, Json>} data
 */

export const EVENTS_PER_PAGE = 100;
const MAX_CACHED_STATES = 200;

export class SessionApi {
  /** @type {Map<number, State>} by version, least recently used first */
  #states = new Map();
  /** @type {Map<number, HistoryEvent[]>} complete pages */
  #pages = new Map();
  #sessionUrl;
  #surveyUrl;
  #surveyId;

  /**
   * @param {string} root path prefix of the server
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(root, surveyId, userId) {
    this.#sessionUrl = `${root}/api/session/${encodeURIComponent(userId)}`;
    this.#surveyUrl = `${root}/api/surveys/${encodeURIComponent(surveyId)}`;
    this.#surveyId = surveyId;
  }

  /** @param {AbortSignal} [signal] @returns {Promise<State>} */
  async current(signal) {
    const { session } = await fetchJson(this.#sessionUrl, { survey: this.#surveyId }, signal);
    this.#cache(session);
    return session;
  }

  /** @param {number} version @param {AbortSignal} [signal] @returns {Promise<State>} */
  async atVersion(version, signal) {
    const cached = this.#states.get(version);
    if (cached !== undefined) return cached;
    const parameters = { survey: this.#surveyId, at_version: version };
    const { session } = await fetchJson(this.#sessionUrl, parameters, signal);
    this.#cache(session);
    return session;
  }

  /**
   * Return the events of a page, after the last event of the page before, which dates the first pause.
   *
   * @param {number} page from 0
   * @param {AbortSignal} [signal]
   * @returns {Promise<HistoryEvent[]>}
   */
  async events(page, signal) {
    const cached = this.#pages.get(page);
    if (cached !== undefined) return cached;
    const overlap = page === 0 ? 0 : 1;
    const limit = EVENTS_PER_PAGE + overlap;
    const parameters = { survey: this.#surveyId, after: page * EVENTS_PER_PAGE - overlap, limit };
    const { events } = await fetchJson(`${this.#sessionUrl}/history`, parameters, signal);
    if (events.length === limit) this.#pages.set(page, events);
    return events;
  }

  /**
   * Return the steps and parameters of the newest revision, by id; none if the survey was removed.
   *
   * @returns {Promise<{ steps: Map<string, Step>, parameters: Map<string, Step> }>}
   */
  async definition() {
    try {
      const { survey } = await fetchJson(this.#surveyUrl);
      const steps = new Map(survey.steps.map((/** @type {Step} */ step) => [step.id, step]));
      return { steps, parameters: new Map(Object.entries(survey.parameters ?? {})) };
    } catch {
      return { steps: new Map(), parameters: new Map() }; // the page then shows ids
    }
  }

  /** @param {State} state */
  #cache(state) {
    this.#states.delete(state.version);
    this.#states.set(state.version, state);
    const [oldest] = this.#states.keys();
    if (this.#states.size > MAX_CACHED_STATES) this.#states.delete(oldest);
  }
}
