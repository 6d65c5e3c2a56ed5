// @ts-check
/**
 * The page of a link to go on: `/resume#<token>`.
 *
 * What stands behind the # never leaves the browser by itself. It is taken out of the address and the history at
 * once, kept in this page's memory alone, and sent once, in a request's body, for a cookie that no script can read.
 */

import { byId } from "../dom.js";

/** @typedef {"opening" | "ended" | "incomplete" | "waiting" | "other"} Part */

const PARTS = /** @type {const} */ (["opening", "ended", "incomplete", "waiting", "other"]);
const BUSY = "The server has too much to do. Please keep this page open and try again in a moment.";
const AWAY = "The server can’t be reached. Please keep this page open and try again in a moment.";

let token = "";

/** @param {Part} part */
function show(part) {
  for (const name of PARTS) byId(name).hidden = name !== part;
  byId("elsewhere").hidden = part !== "ended" && part !== "incomplete" && part !== "other";
  byId("resume").dataset.part = part;
  if (part !== "opening") byId(part).querySelector("h1")?.focus();
}

/** Take the token out of the address, and out of the entry that the browser's history has of it. */
function take() {
  token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  if (token === "") show("incomplete");
  else void exchange();
}

/** @param {boolean} [replace] whether the visit that is under way here may be left */
async function exchange(replace = false) {
  show("opening");
  try {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ token, replace }),
      cache: "no-store",
      redirect: "error", // nobody else gets it
    });
    if (response.ok) return goOn((await response.json()).address);
    if (response.status === 409) return show("other");
    if (response.status >= 500 || response.status === 429) return wait(BUSY);
    token = "";
    show("ended");
  } catch {
    wait(AWAY);
  }
}

/** @param {string} address */
function goOn(address) {
  token = "";
  location.replace(address);
}

/** @param {string} why */
function wait(why) {
  byId("waiting-why").textContent = why;
  show("waiting");
}

byId("replace").addEventListener("click", () => void exchange(true));
byId("again").addEventListener("click", () => void exchange());
addEventListener("online", () => {
  if (byId("resume").dataset.part === "waiting") void exchange();
});
addEventListener("hashchange", () => {
  if (location.hash.length > 1) take(); // another link, opened over this page
});
take();
