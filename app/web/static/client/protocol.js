// @ts-check
/**
 * The protocol's words, as this page uses them: types, limits and close codes. No code with effects.
 *
 * @typedef {null | boolean | number | string | any[] | Record<string, any>} Json
 *
 * @typedef {object} Option
 * @property {string | number} value what is sent, in this very JSON type
 * @property {string} label
 * @property {string | null} [audio]
 *
 * @typedef {object} Step
 * @property {string} id
 * @property {"choice" | "choices" | "text" | "number" | "scale" | "date" | "boolean" | "info"} type
 * @property {string} prompt
 * @property {string | null} [audio] what audio mode speaks instead of the prompt
 * @property {boolean} [required]
 * @property {Option[]} [options]
 * @property {number | null} [min_choices]
 * @property {number | null} [max_choices]
 * @property {number | null} [max_length] in characters (code points)
 * @property {string | null} [pattern]
 * @property {number | string | null} [min]
 * @property {number | string | null} [max]
 * @property {boolean} [integer]
 * @property {string | null} [unit]
 * @property {string | null} [min_label]
 * @property {string | null} [max_label]
 * @property {string | null} [leads_to] in the survey's definition only: where it leads whatever is
 *   answered, `end` for the end; null where that depends on answers
 * @property {string[] | null} [reads] in the survey's definition only: the other steps whose answers
 *   decide where it leads; null: any
 *
 * @typedef {object} Session
 * @property {string} user_id
 * @property {string} survey_id
 * @property {string | null} survey_revision the definition that the session keeps to
 * @property {string} status `in_progress`, `completed` or `expired`
 * @property {string} current_step `end` when completed
 * @property {Record<string, Json>} answers
 * @property {string[]} step_history
 * @property {boolean} is_audio_mode
 * @property {Json} draft the half-typed answer of the current step, null where there is none
 *
 * @typedef {object} Command
 * @property {"answer" | "back" | "goto" | "mode" | "restart"} type
 * @property {string} id made here; the server applies one id once
 * @property {string} [step]
 * @property {Json} [value]
 * @property {boolean} [audio]
 *
 * @typedef {object} ServerMessage
 * @property {"state" | "ack" | "pending" | "reject" | "sync" | "error" | "pong"} type
 * @property {string | null} [id]
 * @property {number} [version]
 * @property {boolean} [resumed]
 * @property {boolean} [duplicate]
 * @property {Session} [session]
 * @property {Step | null} [step] the current step; null when completed, or where the survey lost it
 * @property {number} [progress] 0 to 1
 * @property {string} [code]
 * @property {string} [message]
 */

/** The server closes with 1009 above this; such a message could never be delivered. */
export const MAX_MESSAGE_BYTES = 64 * 1024;

/** The current step of a completed session. */
export const END = "end";

/** Close codes after which another attempt can't help, and what the participant is told. */
export const FINAL_CLOSE_CODES = new Map([
  [4400, "This page and the server do not understand each other. Please reload the page."],
  [
    4401,
    "You need to sign in again: please open a newer link. Make one on a device where you can still go on, or ask whoever invited you. Answers that are kept on this device stay here until then.",
  ],
  [
    4403,
    "You are not allowed to open this survey here. Please open your own personal link. Answers that are kept on this device stay here until then.",
  ],
  [4404, "This survey does not exist any more."],
]);

/** Error codes after which the same command is sent again: nothing is wrong with it, it only came at a bad time. */
export const PASSING_ERROR_CODES = new Set(["unavailable", "rate_limited"]);

/** Close codes of a server that has too much to do: come back, but not soon. */
export const BUSY_CLOSE_CODES = new Set([1013, 4429]);

/**
 * What a socket offers as subprotocols: a browser lets a page put a token nowhere else (an address would be logged).
 * The server answers with the first.
 *
 * @param {string} [token]
 * @returns {string[] | undefined}
 */
export function subprotocols(token) {
  return token === undefined ? undefined : ["stepkeep", `token.${token}`];
}
