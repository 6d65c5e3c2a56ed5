// @ts-check
/** The panel "Go on with another device": a link and its QR code, signing out other devices, leaving this one. */

import { byId } from "../dom.js";

/**
 * @typedef {object} Page what the survey page does for the panel
 * @property {() => boolean} hasUnsent whether something would be lost if this browser forgot it
 * @property {() => void} pause close the connection
 * @property {() => Promise<void>} goOn connect again
 * @property {() => Promise<void>} forget forget what this browser keeps of the participant
 */

const SVG = "http://www.w3.org/2000/svg";
const ENDED = "This visit has ended on this device. Please open your link again.";
const AWAY = "There is no connection just now. Please try again in a moment.";
const FAILED = "That did not work just now. Please try again in a moment.";
const UNSENT = "Some of your answers are not saved yet. Please stay until they are, then leave.";

export class DevicePanel {
  #page;
  #addresses;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    const { linkAddress = "", tokensAddress = "", leaveAddress = "", leftAddress = "" } = byId("device").dataset;
    this.#addresses = { link: linkAddress, tokens: tokensAddress, leave: leaveAddress, left: leftAddress };
    this.#press("device-link", () => void this.#makeLink());
    this.#press("device-copy", () => void this.#copy());
    this.#press("device-others", () => ask("device-others", true));
    this.#press("device-others-no", () => ask("device-others", false));
    this.#press("device-others-yes", () => void this.#signOutOthers());
    this.#press("device-leave", () => this.#askToLeave());
    this.#press("device-leave-no", () => ask("device-leave", false));
    this.#press("device-leave-yes", () => void this.#leave());
    const address = /** @type {HTMLInputElement} */ (byId("device-address"));
    address.addEventListener("focus", () => address.select());
    byId("device").addEventListener("toggle", () => this.#toggled());
  }

  /**
   * @param {string} id
   * @param {() => void} act
   */
  #press(id, act) {
    byId(id).addEventListener("click", act);
  }

  async #makeLink() {
    const made = await this.#send("POST", this.#addresses.link);
    if (made === null) return;
    byId("device-qr").replaceChildren(drawn(made.qr));
    /** @type {HTMLInputElement} */ (byId("device-address")).value = made.link;
    byId("device-until").textContent = `It holds until ${shownTime(made.expires_at)}.`;
    byId("device-made").hidden = false;
    byId("device-link").textContent = "Make another link";
    say("Your link is ready.");
  }

  /** A closed panel shows no link to whoever opens it next. */
  #toggled() {
    if (/** @type {HTMLDetailsElement} */ (byId("device")).open) return;
    this.#forgetLink();
    say("");
  }

  #forgetLink() {
    byId("device-made").hidden = true;
    byId("device-qr").replaceChildren();
    /** @type {HTMLInputElement} */ (byId("device-address")).value = "";
    byId("device-link").textContent = "Make a link";
  }

  async #copy() {
    const field = /** @type {HTMLInputElement} */ (byId("device-address"));
    try {
      await navigator.clipboard.writeText(field.value);
      say("The link is copied.");
    } catch {
      field.select(); // without https a page may not write to the clipboard
      say("The link is selected. Copy it with your browser’s menu or keyboard.");
    }
  }

  async #signOutOthers() {
    // The server ends the connections of all earlier tokens, ours too; the answer brings this browser a new one.
    this.#page.pause();
    const done = await this.#send("DELETE", this.#addresses.tokens);
    await this.#page.goOn();
    ask("device-others", false);
    if (done === null) return;
    this.#forgetLink();
    say("All other devices are signed out, and earlier links do not hold any more.");
  }

  #askToLeave() {
    if (this.#page.hasUnsent()) say(UNSENT);
    else ask("device-leave", true);
  }

  async #leave() {
    if (this.#page.hasUnsent()) {
      ask("device-leave", false);
      return say(UNSENT);
    }
    this.#page.pause();
    if ((await this.#send("POST", this.#addresses.leave)) === null) {
      ask("device-leave", false);
      return void this.#page.goOn();
    }
    await this.#page.forget();
    location.replace(this.#addresses.left);
  }

  /**
   * @param {string} method
   * @param {string} address
   * @returns {Promise<any | null>} the answer; null where it was refused or did not come, which has been said
   */
  async #send(method, address) {
    byId("device").ariaBusy = "true";
    try {
      const response = await fetch(address, { method, headers: { Accept: "application/json" }, cache: "no-store" });
      if (response.ok) return await response.json();
      say(response.status === 401 || response.status === 403 ? ENDED : FAILED);
    } catch {
      say(AWAY);
    } finally {
      byId("device").ariaBusy = null;
    }
    return null;
  }
}

/** @param {string} text */
function say(text) {
  byId("device-note").textContent = text;
}

/**
 * Ask whether to do what a button stands for, in its place, or show the button again.
 *
 * @param {string} name
 * @param {boolean} isAsking
 */
function ask(name, isAsking) {
  byId(name).hidden = isAsking;
  byId(`${name}-sure`).hidden = !isAsking;
  if (isAsking) say("");
  byId(isAsking ? `${name}-question` : name).focus();
}

/**
 * The server's SVG as an element; parsed as XML, where nothing in it can become HTML.
 *
 * @param {string} svg
 */
function drawn(svg) {
  const named = svg.includes("xmlns=") ? svg : svg.replace("<svg", `<svg xmlns="${SVG}"`); // inline SVG goes without
  const element = document.importNode(new DOMParser().parseFromString(named, "image/svg+xml").documentElement, true);
  if (!element.hasAttribute("viewBox")) {
    element.setAttribute("viewBox", `0 0 ${element.getAttribute("width")} ${element.getAttribute("height")}`);
  }
  for (const name of ["width", "height"]) element.removeAttribute(name); // the style sheet says how large
  element.setAttribute("aria-hidden", "true"); // the frame around it has the name
  return element;
}

/** @param {string} time */
function shownTime(time) {
  return new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
