// @ts-check
/** Leaving this device: forgets the participant's cookie and what this browser stores of their session. */

import { storedOwners } from "../client/outbox.js";
import { byId } from "../dom.js";
import { draftOwners } from "./drafts.js";
import { text } from "./texts.js";

/**
 * @typedef {object} Page functions of the survey page
 * @property {() => boolean} hasUnsaved whether leaving now would lose an answer
 * @property {() => void} disconnect
 * @property {() => Promise<void>} connect
 * @property {() => void} forget delete the drafts of the session
 */

const LEFT = "stepkeep:left"; // written for other tabs, and removed at once
const RETRY_MS = 1_000;

export class Departure {
  #page;
  #owner;
  #urls;

  /**
   * @param {Page} page
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(page, surveyId, userId) {
    this.#page = page;
    this.#owner = `${surveyId} ${userId}`;
    const { leaveUrl = "", leftUrl = "" } = byId("device").dataset;
    this.#urls = { leave: leaveUrl, left: leftUrl };
    addEventListener("storage", ({ key, newValue }) => {
      if (key === LEFT && newValue === this.#owner) this.#follow();
    });
  }

  get hasUnsaved() {
    return this.#page.hasUnsaved();
  }

  /**
   * Leave, unless an answer is not saved yet. The browser deletes all that this server's pages have stored in it, unless
   * another session has unsent answers here. A draft of the last seconds was sent, but may be refused when the connection closes.
   *
   * @returns {Promise<string>} why not; the page is replaced otherwise
   */
  async leave() {
    const stored = await storedOwners();
    if (this.hasUnsaved || stored?.includes(this.#owner)) return text("script.leave.unsaved"); // the latter are another tab's
    const focused = document.activeElement;
    this.#page.disconnect();
    byId("survey").inert = true; // an answer that is given now could not be sent
    const isOnlyOwn = stored?.length === 0 && draftOwners()?.every((owner) => owner === this.#owner) === true;
    const { problem } = await request("POST", `${this.#urls.leave}&storage=${isOnlyOwn}`);
    if (problem !== "") {
      byId("survey").inert = false;
      if (focused instanceof HTMLElement) focused.focus();
      void this.#page.connect();
      return problem;
    }
    this.#tellOtherTabs();
    this.#goAway();
    return "";
  }

  #tellOtherTabs() {
    try {
      localStorage.setItem(LEFT, this.#owner);
      localStorage.removeItem(LEFT);
    } catch {
      // storage is forbidden: the other tabs end when they connect again
    }
  }

  /** Another tab has left: this one would go on showing the session. */
  #follow() {
    if (this.hasUnsaved) setTimeout(() => this.#follow(), RETRY_MS);
    else this.#goAway();
  }

  #goAway() {
    this.#page.disconnect();
    this.#page.forget();
    location.replace(this.#urls.left);
  }
}

/**
 * @param {string} method
 * @param {string} url
 * @returns {Promise<{body: any, problem: string}>} the response's JSON, or what to tell the participant
 */
export async function request(method, url) {
  try {
    const response = await fetch(url, { method, headers: { Accept: "application/json" }, cache: "no-store" });
    if (response.ok) return { body: await response.json(), problem: "" };
    const isSignedOut = response.status === 401 || response.status === 403;
    return { body: null, problem: text(isSignedOut ? "script.leave.signed_out" : "script.leave.failed") };
  } catch {
    return { body: null, problem: text("script.leave.offline") };
  }
}
