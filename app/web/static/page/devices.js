// @ts-check
/** Other devices, leaving this one, and sharing it: what only pages of an authenticated participant have. */

import { byId } from "../dom.js";
import { Departure } from "./departure.js";
import { DevicePanel } from "./device-panel.js";
import { Kiosk } from "./kiosk.js";

export class Devices {
  /** @type {Kiosk | null} on a shared device */
  #kiosk = null;

  /**
   * @param {import("./departure.js").Page} page
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(page, surveyId, userId) {
    const departure = new Departure(page, surveyId, userId);
    new DevicePanel(page, departure);
    byId("finish").addEventListener("click", async () => {
      byId("finish-note").textContent = await departure.leave();
    });
    if (document.getElementById("kiosk") !== null) this.#kiosk = new Kiosk(departure);
  }

  /** The participant did something. */
  touch() {
    this.#kiosk?.touch();
  }

  /**
   * @param {boolean} hasBegun whether the session has an answer or a draft
   * @param {boolean} isDone whether it is completed and saved
   */
  update(hasBegun, isDone) {
    this.#kiosk?.update(hasBegun, isDone);
  }
}
