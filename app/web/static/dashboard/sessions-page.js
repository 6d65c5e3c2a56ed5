// @ts-check
/** The list of sessions: a search, kept in the URL, whose results are loaded by cursor. */

import { byId, make } from "../dom.js";
import { RequestError, fetchJson } from "./fetch-json.js";
import { Filters } from "./filters.js";
import { NONE, formatCount, formatPercent, formatTime } from "./format.js";

/**
 * @typedef {import("../client/protocol.js").Session & {version: number, progress: number, updated_at: string}} ListedSession
 */

const ROWS_PER_LOAD = 50;
const MAX_REQUESTS = 10; // the server scans a limited number of sessions a request, so a page may be empty
const HOUR_MS = 3_600_000;
const SET_ASIDE = "~"; // in the id of a session that was set aside, which REST does not serve

/** @type {Record<string, string>} */
const STATUSES = { in_progress: "In progress", completed: "Completed", expired: "Expired" };

class SessionsPage {
  #apiUrl = byId("sessions").dataset.api ?? "";
  #pageUrl = byId("sessions").dataset.page ?? "";
  #rows = byId("rows");
  #more = byId("more");
  #results = byId("results");
  #error = byId("error");
  #filters = new Filters(/** @type {HTMLFormElement} */ (byId("filters")), () => void this.#search());
  #request = new AbortController();
  #cursor = "";
  #updatedSince = "";

  constructor() {
    this.#more.addEventListener("click", () => void this.#loadMore());
    void this.#search();
  }

  async #search() {
    this.#rows.replaceChildren();
    this.#cursor = "";
    const { changed } = this.#filters.values;
    this.#updatedSince = changed === "" ? "" : new Date(Date.now() - Number(changed) * HOUR_MS).toISOString();
    await this.#loadMore();
  }

  async #loadMore() {
    this.#request.abort();
    this.#request = new AbortController();
    const { signal } = this.#request;
    this.#results.textContent = "Searching…";
    try {
      await this.#load(signal);
    } catch (error) {
      if (!signal.aborted) this.#showError(error);
      return;
    }
    this.#error.hidden = true;
    this.#showCount();
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    const target = this.#rows.childElementCount + ROWS_PER_LOAD;
    for (let n = 0; n < MAX_REQUESTS && this.#rows.childElementCount < target; n += 1) {
      const { changed: _, ...filters } = this.#filters.values;
      const limit = target - this.#rows.childElementCount;
      const parameters = { ...filters, updated_since: this.#updatedSince, after: this.#cursor, limit };
      const page = await fetchJson(this.#apiUrl, parameters, signal);
      this.#rows.append(...page.sessions.map((/** @type {ListedSession} */ session) => this.#createRow(session)));
      this.#cursor = page.next ?? "";
      if (this.#cursor === "") return;
    }
  }

  /** @param {ListedSession} session */
  #createRow(session) {
    const cells = [
      ["Participant", this.#createLink(session)],
      ["Survey", session.survey_id],
      ["Status", STATUSES[session.status] ?? session.status],
      ["Step", session.current_step === "end" ? NONE : session.current_step],
      ["Progress", formatPercent(Math.round(session.progress * 100) / 100)],
      ["Mode", session.is_audio_mode ? "Audio" : "Text"],
      ["Changed (UTC)", formatTime(session.updated_at)],
    ];
    return make(
      "tr",
      { role: "row" },
      ...cells.map(([label, value]) => make("td", { role: "cell", "data-label": String(label) }, value)),
    );
  }

  /** @param {ListedSession} session */
  #createLink({ survey_id, user_id }) {
    if (user_id.includes(SET_ASIDE)) return user_id;
    const href = `${this.#pageUrl}/${encodeURIComponent(survey_id)}/${encodeURIComponent(user_id)}`;
    return make("a", { class: "row-link", href }, user_id);
  }

  #showCount() {
    const shown = this.#rows.childElementCount;
    byId("list").hidden = shown === 0;
    this.#more.hidden = this.#cursor === "";
    this.#results.textContent = this.#describeCount(shown, this.#cursor !== "");
  }

  /**
   * @param {number} shown
   * @param {boolean} mayContinue
   */
  #describeCount(shown, mayContinue) {
    if (shown > 0 && mayContinue) return `The first ${formatCount(shown, "session")}. “Show more” continues.`;
    if (shown > 0) return `${formatCount(shown, "session")} in all.`;
    if (mayContinue) return "None among the first sessions. “Show more” continues the search.";
    return this.#filters.isActive ? "No session fits this search." : "There are no sessions yet.";
  }

  /** @param {unknown} error */
  #showError(error) {
    if (!(error instanceof RequestError)) throw error;
    this.#error.textContent = error.message;
    this.#error.hidden = false;
    this.#results.textContent = "";
  }
}

new SessionsPage();
