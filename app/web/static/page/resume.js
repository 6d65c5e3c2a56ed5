// @ts-check
/**
 * The page of a resume link, `/resume#<token>`: exchanges the token for the participant's cookie.
 *
 * Browsers do not send the fragment to a server. The script removes it from the address and the history, keeps it in
 * memory only, and sends it in a request body; scripts can't read the cookie in the response.
 */

import { byId } from "../dom.js";

/** @typedef {(typeof PARTS)[number]} Part */

const PARTS = /** @type {const} */ (["opening", "ended", "incomplete", "waiting", "other"]);
const BUSY = "The server has too much to do. Please keep this page open and try again in a moment.";
const UNREACHABLE = "The server can’t be reached. Please keep this page open and try again in a moment.";

let token = "";

/** @param {Part} part */
function show(part) {
  for (const name of PARTS) byId(name).hidden = name !== part;
  byId("elsewhere").hidden = part === "opening" || part === "waiting";
  byId("resume").dataset.part = part;
  if (part !== "opening") byId(part).querySelector("h1")?.focus();
}

/** Remove the token from the address and the history entry, and exchange it. */
function start() {
  token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (token === "") show("incomplete");
  else void exchange();
}

/** @param {boolean} [replace] whether this browser's cookie of another participant may be replaced */
async function exchange(replace = false) {
  show("opening");
  try {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ token, replace }),
      cache: "no-store",
      redirect: "error", // never send the token to another URL
    });
    if (response.ok) return openSurvey((await response.json()).address);
    if (response.status === 409) return show("other");
    if (response.status >= 500 || response.status === 429) return wait(BUSY);
    token = "";
    show("ended");
  } catch {
    wait(UNREACHABLE);
  }
}

/** @param {string} url */
function openSurvey(url) {
  token = "";
  location.replace(url);
}

/** @param {string} reason */
function wait(reason) {
  byId("waiting-reason").textContent = reason;
  show("waiting");
}

byId("replace").addEventListener("click", () => void exchange(true));
byId("again").addEventListener("click", () => void exchange());
addEventListener("online", () => {
  if (byId("resume").dataset.part === "waiting") void exchange();
});
addEventListener("hashchange", () => {
  if (location.hash.length > 1) start(); // another link was opened in this tab
});
start();
