// @ts-check
/** The steps that this page knows: of the survey's newest revision, and those that came with the session. */

/**
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 */

const RELOAD_MS = 30_000; // only predictions need the definition, so there is no hurry
const INSERTION = /\{\{.*?\}\}/gs;
const NO_TEXTS = ["id", "value", "pattern"];

/**
 * Return a step of the definition with an ellipsis for each insertion: only the server knows what it stands for.
 *
 * @param {Step} step
 * @returns {Step}
 */
function withoutInsertions(step) {
  if (step.depends_on === undefined) return step;
  const isText = (/** @type {string} */ name, /** @type {unknown} */ value) => typeof value === "string" && !NO_TEXTS.includes(name);
  return JSON.parse(JSON.stringify(step), (name, value) => (isText(name, value) ? value.replace(INSERTION, "…") : value));
}

export class StepCache {
  #isClosed = false;
  /** @type {Map<string, Step>} of the newest revision */
  #defined = new Map();
  /** @type {Map<string, {step: Step, revision: string | null}>} */
  #received = new Map();
  /** @type {string | null} */
  #revision = null;
  /** @type {string | null} where a session begins; null if only the server knows */
  #first = null;
  /** @type {{title: string, description: string | null, html?: Record<string, string>} | null} once it is loaded */
  survey = null;

  /**
   * Load the survey's newest revision, as often as it takes. Without it, nothing can be predicted, and the list of answers
   * names only steps that came with the session.
   *
   * @param {string} url
   * @param {string} [token] the participant's
   * @returns {Promise<boolean>} false if the cache was closed meanwhile
   */
  async load(url, token) {
    while (!this.#isClosed && !(await this.#tryToLoad(url, token))) {
      await new Promise((resolve) => setTimeout(resolve, RELOAD_MS));
    }
    return !this.#isClosed;
  }

  /** Load no more. */
  close() {
    this.#isClosed = true;
  }

  /**
   * @param {string} url
   * @param {string} [token]
   * @returns {Promise<boolean>} whether it succeeded
   */
  async #tryToLoad(url, token) {
    try {
      const headers = new Headers({ Accept: "application/json" });
      if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
      const response = await fetch(url, { headers });
      const body = await response.json();
      const steps = body?.survey?.steps;
      if (!response.ok || !Array.isArray(steps)) return false;
      this.#defined = new Map(steps.map((/** @type {Step} */ step) => [step.id, withoutInsertions(step)]));
      this.#revision = body.survey.revision ?? null;
      this.#first = body.survey.first_step ?? null;
      this.survey = body.survey;
      return true;
    } catch (error) {
      console.warn("stepkeep: the survey's definition can't be loaded", error);
      return false;
    }
  }

  /** The number of steps of the survey; null until it is loaded. */
  get size() {
    return this.#defined.size || null;
  }

  /**
   * @param {Step} step
   * @param {string | null} revision that the session follows
   */
  add(step, revision) {
    this.#received.set(step.id, { step, revision });
  }

  /**
   * Return a step of any revision, to show its prompt and labels.
   *
   * @param {string} id
   */
  get(id) {
    return this.#received.get(id)?.step ?? this.#defined.get(id) ?? null;
  }

  /**
   * Return a step's prompt, or its first paragraph; the id if the survey no longer has the step.
   *
   * @param {string} id
   */
  title(id) {
    const step = this.get(id);
    return step?.html === undefined ? (step?.prompt ?? id) : step.prompt.split("\n\n", 1)[0];
  }

  /**
   * Return what the fields of a page depend on.
   *
   * @param {Session} session
   */
  known({ answers, parameters = {} }) {
    const pages = Object.keys(answers).filter((id) => this.get(id)?.fields !== undefined);
    const fields = Object.fromEntries(pages.flatMap((id) => Object.entries(answers[id] ?? {})));
    return { answers: { ...answers, ...fields }, parameters };
  }

  /**
   * Return what is known of one revision. A session may follow an older one, whose steps lead elsewhere.
   *
   * @param {string | null} revision
   * @returns {import("../client/optimistic.js").KnownSurvey}
   */
  revision(revision) {
    const [first, newestRevision] = [this.#first, this.#revision];
    const newest = first !== null && newestRevision !== null ? { first, revision: newestRevision } : null;
    return { step: (id) => this.#stepOf(revision, id), newest, size: this.size };
  }

  /**
   * Return the ids of the answered and the read steps in the session's order; those ahead of the current step come last.
   *
   * @param {Session} session
   */
  answered(session) {
    const visited = session.step_history.filter((id) => Object.hasOwn(session.answers, id));
    const ahead = Object.keys(session.answers).filter((id) => !visited.includes(id));
    const order = [...this.#defined.keys()];
    ahead.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    return [...visited, ...ahead];
  }

  /**
   * @param {string | null} revision
   * @param {string} id
   * @returns {Step | null}
   */
  #stepOf(revision, id) {
    if (revision !== null && revision === this.#revision) return this.#defined.get(id) ?? null;
    const received = this.#received.get(id);
    return received?.revision === revision ? (received?.step ?? null) : null;
  }
}
