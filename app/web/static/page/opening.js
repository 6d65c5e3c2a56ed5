// @ts-check
/** What the page is opened with: its address, the participant's id and the session's state. */

import { isUserId } from "../client/ids.js";
import { byId } from "../dom.js";
import { storedUserId } from "./stored-user-id.js";

/**
 * Return the id that the server or the address names, or the one that this browser stores.
 *
 * @returns {Promise<string | null>} null if the named one is invalid
 */
export async function participantId() {
  const { userId } = byId("survey").dataset; // in production, the cookie's participant
  const named = userId ?? new URLSearchParams(location.search).get("user");
  if (named !== null) return isUserId(named) ? named : null;
  return storedUserId();
}

/**
 * Return how the page's address begins a session.
 *
 * @returns {{ isAudio: boolean, parameters: URLSearchParams }} `parameters` as the survey may declare them
 */
export function readAddress() {
  const parameters = new URLSearchParams(location.search);
  const isAudio = parameters.get("is_audio") === "true";
  for (const name of ["is_audio", "lang", "survey", "token"]) parameters.delete(name);
  return { isAudio, parameters };
}

/**
 * Take the session's state out of the page, where it would outlive the session in view.
 *
 * @returns {import("../client/protocol.js").ServerMessage | null}
 */
export function takeOpening() {
  const element = document.getElementById("opening-state");
  element?.remove();
  return element === null ? null : JSON.parse(element.textContent ?? "");
}
