// @ts-check
/**
 * The panel "Continue on another device": creates a link with its QR code, signs out other devices, leaves this one. In a
 * frame of another site it only leaves: the rest needs the cookie.
 */

import { byId } from "../dom.js";
import { request } from "./departure.js";
import { surveyLanguage } from "./language.js";
import { text } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

export class DevicePanel {
  #page;
  #departure;
  #urls;

  /**
   * @param {import("./departure.js").Page} page
   * @param {import("./departure.js").Departure} departure
   */
  constructor(page, departure) {
    this.#page = page;
    this.#departure = departure;
    const { linkUrl, tokensUrl = "" } = byId("device").dataset;
    this.#urls = { link: linkUrl ?? "", tokens: tokensUrl };
    press("device-leave", () => this.#askToLeave());
    press("device-leave-no", () => ask("device-leave", false));
    press("device-leave-yes", () => void this.#leave());
    if (linkUrl !== undefined) this.#listenToLinks();
  }

  #listenToLinks() {
    press("device-link", () => void this.#createLink());
    press("device-copy", () => void this.#copy());
    press("device-others", () => ask("device-others", true));
    press("device-others-no", () => ask("device-others", false));
    press("device-others-yes", () => void this.#signOutOthers());
    const field = /** @type {HTMLInputElement} */ (byId("device-url"));
    field.addEventListener("focus", () => field.select());
    byId("device").addEventListener("toggle", () => this.#handleToggle());
  }

  async #createLink() {
    const created = await this.#request("POST", this.#urls.link);
    if (created === null || !isOpen()) return;
    byId("device-qr").replaceChildren(toElement(created.qr));
    /** @type {HTMLInputElement} */ (byId("device-url")).value = created.link;
    byId("device-until").textContent = text("script.device.until", { time: formatTime(created.expires_at) });
    byId("device-created").hidden = false;
    byId("device-link").textContent = text("script.device.create_another");
    note(text("script.device.ready"));
  }

  /** Create a link each time the panel is opened: the last one may be used. Hide it from the next person here. */
  #handleToggle() {
    this.#hideLink();
    note("");
    if (isOpen()) void this.#createLink();
  }

  #hideLink() {
    byId("device-created").hidden = true;
    byId("device-qr").replaceChildren();
    /** @type {HTMLInputElement} */ (byId("device-url")).value = "";
    byId("device-link").textContent = text("script.device.create");
  }

  async #copy() {
    const field = /** @type {HTMLInputElement} */ (byId("device-url"));
    try {
      await navigator.clipboard.writeText(field.value);
      note(text("script.device.copied"));
    } catch {
      field.select(); // without https, the clipboard can't be written
      note(text("script.device.selected"));
    }
  }

  async #signOutOthers() {
    // The server closes the connections of all earlier tokens, this one's too; its response sets a new cookie.
    this.#page.disconnect();
    const isDone = (await this.#request("DELETE", this.#urls.tokens)) !== null;
    await this.#page.connect();
    ask("device-others", false);
    if (!isDone) return;
    this.#hideLink();
    note(text("script.device.others_signed_out"));
  }

  #askToLeave() {
    if (this.#departure.hasUnsaved) note(text("script.leave.unsaved"));
    else ask("device-leave", true);
  }

  async #leave() {
    const problem = await this.#departure.leave();
    if (problem === "") return;
    ask("device-leave", false);
    note(problem);
  }

  /**
   * @param {string} method
   * @param {string} url
   * @returns {Promise<any | null>} the response's JSON; null after a failure, which the panel then shows
   */
  async #request(method, url) {
    byId("device").ariaBusy = "true";
    const { body, problem } = await request(method, url);
    byId("device").ariaBusy = null;
    note(problem);
    return body;
  }
}

/**
 * @param {string} id
 * @param {() => void} act
 */
function press(id, act) {
  byId(id).addEventListener("click", act);
}

function isOpen() {
  return /** @type {HTMLDetailsElement} */ (byId("device")).open;
}

/** @param {string} message */
function note(message) {
  byId("device-note").textContent = message;
}

/**
 * Show a confirmation in place of a button, or the button again.
 *
 * @param {string} button
 * @param {boolean} isAsking
 */
function ask(button, isAsking) {
  byId(button).hidden = isAsking;
  byId(`${button}-confirm`).hidden = !isAsking;
  if (isAsking) note("");
  byId(isAsking ? `${button}-question` : button).focus();
}

/**
 * Parse an SVG as XML, in which nothing can become HTML.
 *
 * @param {string} svg
 */
function toElement(svg) {
  const xml = svg.includes("xmlns=") ? svg : svg.replace("<svg", `<svg xmlns="${SVG}"`); // inline SVG omits it
  const element = document.importNode(new DOMParser().parseFromString(xml, "image/svg+xml").documentElement, true);
  if (!element.hasAttribute("viewBox")) {
    element.setAttribute("viewBox", `0 0 ${element.getAttribute("width")} ${element.getAttribute("height")}`);
  }
  for (const name of ["width", "height"]) element.removeAttribute(name); // the style sheet sets the size
  element.setAttribute("aria-hidden", "true"); // its frame has the accessible name
  return element;
}

/** @param {string} time RFC 3339 */
function formatTime(time) {
  return new Date(time).toLocaleString(surveyLanguage(), { dateStyle: "medium", timeStyle: "short" });
}
