// @ts-check
/** The steps that this page has heard of: from the survey's definition, or as they came by. */

/**
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 */

export class KnownSteps {
  /** @type {Map<string, Step>} of the newest definition */
  #defined = new Map();
  /** @type {Map<string, {step: Step, revision: string | null}>} */
  #seen = new Map();
  /** @type {string | null} */
  #revision = null;

  /**
   * Read the survey's definition. Without it the list shows the steps that came by, and nobody can go
   * on offline.
   *
   * @param {string} address
   * @returns {Promise<boolean>} whether it is here
   */
  async load(address) {
    try {
      const response = await fetch(address, { headers: { Accept: "application/json" } });
      const body = await response.json();
      const steps = body?.survey?.steps;
      if (!response.ok || !Array.isArray(steps)) return false;
      this.#defined = new Map(steps.map((/** @type {Step} */ step) => [step.id, step]));
      this.#revision = body.survey.revision ?? null;
      return true;
    } catch (problem) {
      console.warn("stepkeep: the survey's definition can't be read", problem);
      return false;
    }
  }

  /** How many steps the survey has; null until the definition is here. */
  get total() {
    return this.#defined.size || null;
  }

  /**
   * @param {Step} step
   * @param {string | null} revision of the definition that the session keeps to
   */
  add(step, revision) {
    this.#seen.set(step.id, { step, revision });
  }

  /**
   * The step as it came by last, else as the newest definition has it: good enough to name it.
   *
   * @param {string} id
   */
  get(id) {
    return this.#seen.get(id)?.step ?? this.#defined.get(id) ?? null;
  }

  /**
   * What is known of one revision for certain: a session may have begun on an older one, whose steps
   * lead elsewhere.
   *
   * @param {string | null} revision
   * @returns {import("../client/optimistic.js").KnownSurvey}
   */
  of(revision) {
    const first = this.#defined.keys().next().value;
    const newest = first !== undefined && this.#revision !== null ? { first, revision: this.#revision } : null;
    return { step: (id) => this.#certain(id, revision), newest, size: this.total };
  }

  /**
   * The answered steps in the order of the walk; those ahead of the position come last.
   *
   * @param {Session} session
   * @returns {string[]}
   */
  answered(session) {
    const behind = session.step_history.filter((id) => Object.hasOwn(session.answers, id));
    const ahead = Object.keys(session.answers).filter((id) => !behind.includes(id));
    const order = [...this.#defined.keys()];
    ahead.sort((one, other) => order.indexOf(one) - order.indexOf(other));
    return [...behind, ...ahead].filter((id) => this.get(id)?.type !== "info");
  }

  /**
   * @param {string} id
   * @param {string | null} revision
   * @returns {Step | null}
   */
  #certain(id, revision) {
    if (revision !== null && revision === this.#revision) return this.#defined.get(id) ?? null;
    const seen = this.#seen.get(id);
    return seen?.revision === revision ? (seen?.step ?? null) : null;
  }
}
