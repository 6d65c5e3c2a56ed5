// @ts-check
/** The page after leaving: names the surveys that have unsent answers in this browser. */

import { storedOwners } from "../client/outbox.js";
import { byId, make } from "../dom.js";
import { draftOwners } from "./drafts.js";

async function start() {
  const list = byId("remaining-surveys");
  const note = /** @type {HTMLTemplateElement} */ (byId("unsent"));
  const { surveyUrl = "" } = list.dataset;
  const owners = [...((await storedOwners()) ?? []), ...(draftOwners() ?? [])];
  for (const id of new Set(owners.map((owner) => owner.split(" ")[0]))) {
    let item = [...list.children].find((each) => /** @type {HTMLElement} */ (each).dataset.surveyId === id);
    if (item === undefined) {
      item = make("li", { "data-survey-id": id }, make("a", { href: surveyUrl + encodeURIComponent(id) + location.search }, id));
      list.append(item);
    }
    item.append(note.content.cloneNode(true));
  }
  byId("remaining").hidden = list.childElementCount === 0;
}

void start();
