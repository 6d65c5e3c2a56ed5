// @ts-check
/** The list of sessions: a search whose words stand in the address, a page at a time by cursor. */

import { byId, make } from "../dom.js";
import { Refused, ask } from "./fetch-json.js";
import { Filters } from "./filters.js";
import { count, counted, moment, share } from "./format.js";

/**
 * @typedef {import("../client/protocol.js").Session & {version: number, progress: number, updated_at: string}} ListedSession
 */

const ROWS = 50;
const PAGES_AT_ONCE = 10; // of a search that few sessions fit, a page may be empty and more may follow
const HOUR_MS = 3_600_000;
const SET_ASIDE = "~";

/** @type {Record<string, string>} */
const STATUSES = { in_progress: "In progress", completed: "Completed", expired: "Expired" };

class SessionList {
  #api = byId("sessions").dataset.api ?? "";
  #page = byId("sessions").dataset.page ?? "";
  #rows = byId("rows");
  #more = byId("more");
  #found = byId("found");
  #trouble = byId("trouble");
  #filters = new Filters(/** @type {HTMLFormElement} */ (byId("filters")), () => void this.#begin());
  #asking = new AbortController();
  #next = "";
  #since = "";

  constructor() {
    this.#more.addEventListener("click", () => void this.#go());
    void this.#begin();
  }

  async #begin() {
    this.#rows.replaceChildren();
    this.#next = "";
    const { changed } = this.#filters.values;
    this.#since = changed === "" ? "" : new Date(Date.now() - Number(changed) * HOUR_MS).toISOString();
    await this.#go();
  }

  async #go() {
    this.#asking.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#found.textContent = "Searching…";
    try {
      await this.#fill(signal);
    } catch (error) {
      if (!signal.aborted) this.#tell(error);
      return;
    }
    this.#trouble.hidden = true;
    this.#say();
  }

  /** @param {AbortSignal} signal */
  async #fill(signal) {
    const wanted = this.#rows.childElementCount + ROWS;
    for (let page = 0; page < PAGES_AT_ONCE && this.#rows.childElementCount < wanted; page += 1) {
      const { changed: _, ...filters } = this.#filters.values;
      const limit = wanted - this.#rows.childElementCount;
      const asked = { ...filters, updated_since: this.#since, after: this.#next, limit };
      const answer = await ask(this.#api, asked, signal);
      this.#rows.append(...answer.sessions.map((/** @type {ListedSession} */ one) => this.#row(one)));
      this.#next = answer.next ?? "";
      if (this.#next === "") return;
    }
  }

  /** @param {ListedSession} one */
  #row(one) {
    const cells = [
      ["Participant", this.#name(one)],
      ["Survey", one.survey_id],
      ["Status", STATUSES[one.status] ?? one.status],
      ["Step", one.current_step === "end" ? "–" : one.current_step],
      ["Progress", share(Math.round(one.progress * 100) / 100)],
      ["Mode", one.is_audio_mode ? "Audio" : "Text"],
      ["Changed (UTC)", moment(one.updated_at)],
    ];
    return make(
      "tr",
      { role: "row" },
      ...cells.map(([label, value]) => make("td", { role: "cell", "data-label": String(label) }, value)),
    );
  }

  /** @param {ListedSession} one */
  #name(one) {
    if (one.user_id.includes(SET_ASIDE)) return one.user_id; // REST shows it to nobody
    const address = `${this.#page}/${encodeURIComponent(one.survey_id)}/${encodeURIComponent(one.user_id)}`;
    return make("a", { class: "row-link", href: address }, one.user_id);
  }

  #say() {
    const shown = this.#rows.childElementCount;
    const mayFollow = this.#next !== "";
    byId("list").hidden = shown === 0;
    this.#more.hidden = !mayFollow;
    if (shown > 0) this.#found.textContent = mayFollow ? `The first ${count(shown)}; more may follow.` : `${counted(shown, "session")}.`;
    else if (mayFollow) this.#found.textContent = "None among the first sessions; search on with “Show more”.";
    else this.#found.textContent = this.#filters.areSet ? "No session fits this search." : "There are no sessions yet.";
  }

  /** @param {unknown} error */
  #tell(error) {
    if (!(error instanceof Refused)) throw error;
    this.#trouble.textContent = error.message;
    this.#trouble.hidden = false;
    this.#found.textContent = "";
  }
}

new SessionList();
