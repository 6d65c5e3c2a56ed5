// @ts-check
/**
 * The answer of GET /api/surveys/{id}/analytics, as types. No code with effects.
 *
 * @typedef {{count: number, median: number | null, p90: number | null}} Spread
 *
 * @typedef {object} Choice
 * @property {any} value
 * @property {string | null} label
 * @property {number} count
 * @property {number | null} share
 *
 * @typedef {object} Answers
 * @property {number} count
 * @property {number} skipped
 * @property {Choice[] | null} distribution
 * @property {{min: number, max: number, mean: number, median: number, bins: {from: number, to: number, count: number}[]} | null} numbers
 * @property {{median: number, p90: number, max: number} | null} lengths
 *
 * @typedef {object} StepFigures
 * @property {string} step
 * @property {string | null} type
 * @property {string | null} prompt
 * @property {number} reached
 * @property {number} answered
 * @property {number} left_here
 * @property {number | null} drop_off
 * @property {number} edits
 * @property {number | null} edit_rate
 * @property {number} backs
 * @property {number | null} back_rate
 * @property {Spread} seconds
 * @property {Answers} answers
 *
 * @typedef {object} Analytics
 * @property {string} computed_at
 * @property {{started: number, completed: number, in_progress: number, expired: number, completion_rate: number | null}} sessions
 * @property {number} unread sessions whose answers can't be opened
 * @property {Spread} duration_s
 * @property {Spread} active_s
 * @property {{sessions: number, share: number | null, returns: number, away_s: Spread, pause_s: number}} resumed
 * @property {{mode: "text" | "audio", started: number, completed: number, completion_rate: number | null, answers: number}[]} modes
 * @property {{day: string, started: number, completed: number}[]} days
 * @property {{revision: string | null, is_current: boolean, started: number, completed: number, completion_rate: number | null}[]} revisions
 * @property {StepFigures[]} steps
 */

export {};
