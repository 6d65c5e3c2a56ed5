// @ts-check
/** The end of a survey: what its author says there, the participant's own answers on paper or in a file, and a restart. */

import { byId, make } from "../dom.js";
import { surveyLanguage } from "./language.js";
import { blockNodes } from "./rich-text.js";
import { text } from "./texts.js";

/** @typedef {import("../client/protocol.js").Ending} Ending */

const REDIRECT = /^https?:\/\//i;
const FILE_STYLE =
  "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem}" +
  "dt{color:#555;white-space:pre-line}dd{margin:0 0 1rem}.answer{font-weight:600;white-space:pre-line}.read dt{color:inherit;font-weight:600}.answered-parts dd{margin-bottom:.5rem}";

export class Done {
  #view;
  #wasListOpen = false;
  /** @type {string} the ending in view, as JSON */
  #shown = "";
  #spoken = "";

  /**
   * @param {import("./survey-view.js").SurveyView} view
   * @param {{restart: () => void}} actions
   */
  constructor(view, { restart }) {
    this.#view = view;
    const press = (/** @type {string} */ id, /** @type {() => void} */ act) => byId(id).addEventListener("click", act);
    press("restart", () => this.#askRestart(true));
    press("restart-no", () => this.#askRestart(false));
    press("restart-yes", restart);
    press("print", () => print());
    press("save-file", () => this.#saveFile());
    addEventListener("beforeprint", () => this.#openList(true));
    addEventListener("afterprint", () => this.#openList(false));
  }

  /**
   * @param {boolean} isSaved whether the server has confirmed the completion
   * @param {Ending | null} ending
   * @returns {string | null} what audio mode speaks; null if that is nothing new
   */
  show(isSaved, ending) {
    const isNew = this.#view.part !== "done";
    byId("done-saved").hidden = !isSaved;
    byId("done-unsaved").hidden = isSaved;
    this.#showEnding(ending);
    this.#view.showPart("done", "end");
    if (isNew) this.#enter();
    const spoken = ["done-heading", "ending", isSaved ? "done-saved" : "done-unsaved"].map(textOf).join(" ");
    if (spoken === this.#spoken) return null;
    this.#spoken = spoken;
    return spoken;
  }

  #enter() {
    byId("restart").hidden = false;
    byId("restart-confirm").hidden = true;
    byId("done-heading").focus();
    this.#spoken = "";
  }

  /** @param {Ending | null} ending */
  #showEnding(ending) {
    const shown = JSON.stringify(ending);
    const heading = byId("done-heading");
    heading.textContent = ending?.title ?? text("page.done.heading");
    if (ending?.title) delete heading.dataset.text;
    else heading.dataset.text = "page.done.heading";
    byId("ending").replaceChildren(...(ending?.text ? blockNodes(ending.html ?? undefined, ending.text) : []));
    this.#showRedirect(ending?.redirect ?? null);
    if (shown !== this.#shown) answerList().open = ending?.summary ?? false;
    this.#shown = shown;
  }

  /** @param {string | null} address */
  #showRedirect(address) {
    const isShown = address !== null && REDIRECT.test(address);
    byId("redirect-box").hidden = !isShown;
    if (!isShown) return;
    const link = /** @type {HTMLAnchorElement} */ (byId("redirect"));
    link.href = address;
    link.target = parent === window ? "" : "_blank"; // other sites seldom allow a frame
    link.textContent = text("script.endings.continue", { site: link.host });
  }

  /** @param {boolean} isAsking whether to ask for confirmation of a restart */
  #askRestart(isAsking) {
    byId("restart").hidden = isAsking;
    byId("restart-confirm").hidden = !isAsking;
    byId(isAsking ? "restart-question" : "restart").focus();
  }

  /** @param {boolean} isPrinting whether the page is about to be printed: a closed list would be missing on paper */
  #openList(isPrinting) {
    const list = answerList();
    this.#wasListOpen = isPrinting ? list.open : this.#wasListOpen;
    list.open = isPrinting || this.#wasListOpen;
  }

  /** Save the answers as a page that needs nothing else. */
  #saveFile() {
    const title = document.querySelector("#survey > h1")?.textContent ?? "";
    const saved = document.implementation.createHTMLDocument(title);
    const { lang, dir } = document.documentElement;
    Object.assign(saved.documentElement, { lang, dir });
    saved.head.prepend(make("meta", { charset: "utf-8" }));
    saved.head.append(make("meta", { name: "viewport", content: "width=device-width" }), make("style", {}, FILE_STYLE));
    const time = new Date().toLocaleString(surveyLanguage(), { dateStyle: "long", timeStyle: "short" });
    const heading = byId("done-heading");
    const isOwn = heading.dataset.text === undefined; // the author's
    const parts = [isOwn ? make("h2", {}, heading.textContent ?? "") : "", byId("ending"), byId("done-answers"), byId("reference").parentElement ?? ""];
    const copies = parts.map((part) => (typeof part === "string" ? part : part.cloneNode(true)));
    saved.body.append(make("h1", {}, title), make("p", {}, time), ...copies);
    download(`${byId("survey").dataset.surveyId}.html`, new XMLSerializer().serializeToString(saved));
  }
}

/** @param {string} id */
function textOf(id) {
  return byId(id).textContent ?? "";
}

function answerList() {
  return /** @type {HTMLDetailsElement} */ (byId("done-answers").parentElement);
}

/**
 * @param {string} name
 * @param {string} html
 */
function download(name, html) {
  const url = URL.createObjectURL(new Blob([html], { type: "text/html" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // browsers read it after this event
}
