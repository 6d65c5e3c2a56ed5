// @ts-check
/**
 * The page of a resume link, `/resume#<token>`: exchanges the token for the participant's cookie.
 *
 * Browsers do not send the fragment to a server. The script removes it from the address and the history, keeps it in
 * memory only, and sends it in a request body; scripts can't read the cookie in the response.
 *
 * Unless the link is an invitation, the participant is asked first: someone who sends a link of their own session would
 * read what is answered there.
 */

import { newCommandId } from "../client/ids.js";
import { byId } from "../dom.js";
import { surveyLanguage } from "./language.js";

/** @typedef {(typeof PARTS)[number]} Part */

const PARTS = /** @type {const} */ (["opening", "ended", "used", "incomplete", "waiting", "question", "other"]);

let token = "";
let exchangeId = ""; // a link works once, but its exchange may have to be sent again
let choices = { replace: false, confirm: false };

/** @param {Part} part */
function show(part) {
  for (const name of PARTS) byId(name).hidden = name !== part;
  byId("elsewhere").hidden = part === "opening" || part === "waiting" || part === "question";
  byId("resume").dataset.part = part;
  if (part !== "opening") byId(part).querySelector("h1")?.focus();
}

/** Remove the token from the address and the history entry, and exchange it. */
function start() {
  token = location.hash.slice(1);
  exchangeId = newCommandId();
  choices = { replace: false, confirm: false };
  history.replaceState(null, "", location.pathname + location.search);
  if (token === "") show("incomplete");
  else void exchange();
}

async function exchange() {
  show("opening");
  try {
    const response = await fetch(location.pathname, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ token, exchange_id: exchangeId, ...choices }),
      cache: "no-store",
      redirect: "error", // never send the token to another URL
    });
    if (response.ok) return openSurvey((await response.json()).address);
    if (response.status === 409) return refuse(await response.json());
    if (response.status >= 500 || response.status === 429) return wait(true);
    token = "";
    show("ended");
  } catch {
    wait(false);
  }
}

/** @param {{code: string, survey_id?: string, started_at?: string, has_other_session?: boolean}} problem */
function refuse(problem) {
  if (problem.code === "participant_conflict") return show("other");
  if (problem.code !== "link_unconfirmed") {
    token = "";
    return show("used");
  }
  const hasOther = problem.has_other_session === true;
  byId("started-at").textContent = formatTime(problem.started_at ?? "");
  byId("question-other").hidden = !hasOther;
  byId("own-begin").hidden = hasOther;
  byId("own-continue").hidden = !hasOther;
  /** @type {HTMLAnchorElement} */ (byId("own")).href = `${byId("resume").dataset.surveyUrl}${problem.survey_id}${location.search}`;
  show("question");
}

/** @param {string} time RFC 3339 */
function formatTime(time) {
  return new Date(time).toLocaleString(surveyLanguage(), { dateStyle: "long", timeStyle: "short" });
}

/** @param {string} url to which the query of the link belongs: the survey's parameters, and its language */
function openSurvey(url) {
  token = "";
  location.replace(url + location.search);
}

/** @param {boolean} isBusy whether the server answered that it is */
function wait(isBusy) {
  byId("waiting-busy").hidden = !isBusy;
  byId("waiting-unreachable").hidden = isBusy;
  show("waiting");
}

byId("replace").addEventListener("click", () => {
  choices.replace = true;
  void exchange();
});
byId("confirm").addEventListener("click", () => {
  choices = { replace: !byId("question-other").hidden, confirm: true };
  void exchange();
});
byId("again").addEventListener("click", () => void exchange());
addEventListener("online", () => {
  if (byId("resume").dataset.part === "waiting") void exchange();
});
addEventListener("hashchange", () => {
  if (location.hash.length > 1) start(); // another link was opened in this tab
});
start();
