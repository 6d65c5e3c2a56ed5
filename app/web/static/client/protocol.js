// @ts-check
/**
 * The WebSocket protocol's types, limits and codes (docs/protocol.md). No side effects.
 *
 * @typedef {null | boolean | number | string | any[] | Record<string, any>} Json
 * @typedef {import("./client.js").Step} Step
 * @typedef {import("./client.js").Session} Session
 * @typedef {import("./client.js").Ending} Ending
 *
 * @typedef {object} Command
 * @property {"answer" | "back" | "goto" | "mode" | "language" | "restart"} type
 * @property {string} id created here; the server applies each id at most once
 * @property {string} [step]
 * @property {Json} [value]
 * @property {true} [confirmed] the participant has seen the warnings of the step's checks
 * @property {boolean} [audio]
 * @property {string} [language]
 *
 * @typedef {object} ServerMessage any server message, with the properties of all types
 * @property {"state" | "ack" | "pending" | "reject" | "sync" | "error" | "pong"} type
 * @property {string | null} [id]
 * @property {number} [version]
 * @property {boolean} [resumed]
 * @property {boolean} [duplicate]
 * @property {Session} [session]
 * @property {Step | null} [step] the current step; null when completed, or if the survey no longer has it
 * @property {number} [progress] 0 to 1
 * @property {Ending | null} [ending] of a completed session
 * @property {string} [code]
 * @property {string} [message]
 * @property {Record<string, string>} [fields] of a rejected answer to a page or grid: what is wrong, by field or row
 */

/** The server closes the connection with 1009 above this size, so a larger message is never sent. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** The current step of a completed session. */
export const END = "end";

/** Close codes after which the client stops, with the text for the participant. */
export const FINAL_CLOSE_CODES = new Map([
  [4400, "This page and the server have different versions. Please reload the page."],
  [
    4401,
    "You need to sign in again: please open a newer link. Create one on a device where you can still continue, or ask for one where you were invited. Unsent answers are kept on this device until then.",
  ],
  [
    4403,
    "You are not allowed to open this survey here. Please open your own personal link. Unsent answers are kept on this device until then.",
  ],
  [4404, "This survey no longer exists."],
]);

/** Error codes after which the same command is sent again. */
export const TRANSIENT_ERROR_CODES = new Set(["unavailable", "rate_limited"]);

/** Close codes of an overloaded server; the client waits longer before it reconnects. */
export const BUSY_CLOSE_CODES = new Set([1013, 4429]);

/**
 * Return the subprotocols to offer, of which the server selects the first.
 *
 * A browser cannot send an Authorization header with a WebSocket, and a token in the URL would be logged.
 *
 * @param {string} [token]
 * @returns {string[] | undefined}
 */
export function subprotocols(token) {
  return token === undefined ? undefined : ["stepkeep", `token.${token}`];
}
