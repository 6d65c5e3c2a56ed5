// @ts-check
/**
 * Predicts the session after unacknowledged commands, so that a participant can continue without a connection. The
 * server alone decides. Pure.
 *
 * The prediction knows where a step leads whatever the answer (`leads_to`), which answers decide where it leads
 * (`reads`), and the route that the session has shown. It ends at the first answer to a step with conditions: the
 * answer may complete the survey, and then every later command is rejected. Only a restart is predictable again.
 */

import { END } from "./protocol.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").Session} Session
 * @typedef {import("./protocol.js").Command} Command
 *
 * @typedef {object} KnownSurvey what is known of the survey's revision that the session follows
 * @property {(id: string) => Step | null} step with `leads_to`, `reads` and `depends_on` if these are known
 * @property {{first: string, revision: string} | null} newest where a restarted session starts
 * @property {number | null} size the number of steps, if known
 *
 * @typedef {object} Position
 * @property {Session} session
 * @property {string[]} route the steps before and after the current one, as far as they are known; the last has no
 *   answer yet, or leads where only the server knows
 *
 * @typedef {object} Limits
 * @property {string | null} blockedBy the id of the first command whose outcome can't be predicted: the session is the
 *   one before it, with its answer; null if all are predicted
 * @property {boolean} [isModeUnknown] the mode was set behind that command, and may have been rejected with it
 *
 * @typedef {Position & Limits} Prediction
 */

/**
 * @param {Position} position of the server's session
 * @param {readonly Command[]} commands that the session does not include yet, oldest first
 * @param {KnownSurvey} survey
 * @returns {Prediction}
 */
export function predict(position, commands, survey) {
  /** @type {Prediction} */
  let prediction = { ...position, blockedBy: null };
  for (const command of commands) prediction = apply(prediction, command, survey);
  return prediction;
}

/**
 * Return the known route of a server's session, longer where an earlier position with the same answers knew more.
 *
 * @param {Session} session
 * @param {Position | null} earlier
 * @param {KnownSurvey} survey
 */
export function knownRoute(session, earlier, survey) {
  const isCompleted = session.current_step === END;
  const shown = isCompleted ? session.step_history : [...session.step_history, session.current_step];
  const isSame = earlier !== null && hasSameAnswers(earlier.session, session);
  const isPrefix = isSame && shown.every((step, index) => earlier.route[index] === step);
  return isCompleted ? [...shown] : extendRoute(isPrefix ? earlier.route : shown, session, survey);
}

/**
 * @param {Prediction} prediction
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Prediction}
 */
function apply(prediction, command, survey) {
  if (command.type === "restart") return applyRestart(prediction, command, survey);
  if (prediction.blockedBy !== null) return command.type === "mode" ? { ...prediction, isModeUnknown: true } : prediction;
  if (prediction.session.status !== "in_progress") return prediction; // the server will reject it
  if (command.type === "language") return prediction; // only the server has the texts
  switch (command.type) {
    case "mode":
      return update(prediction, { is_audio_mode: command.audio === true });
    case "goto":
      return applyGoto(prediction, command);
    case "back":
      return applyBack(prediction);
    default:
      return applyAnswer(prediction, command, survey);
  }
}

/**
 * @param {Prediction} prediction
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Prediction}
 */
function applyRestart(prediction, command, survey) {
  if (survey.newest === null || prediction.isModeUnknown) return block(prediction, command);
  const { first, revision } = survey.newest;
  /** @type {Session} */
  const session = {
    ...prediction.session,
    survey_revision: revision,
    status: "in_progress",
    current_step: first,
    answers: {},
    step_history: [],
    draft: null,
  };
  return { session, route: [first], blockedBy: null };
}

/** @param {Prediction} prediction */
function applyBack(prediction) {
  const previous = prediction.session.step_history.at(-1);
  return previous === undefined ? prediction : moveTo(prediction, previous);
}

/**
 * @param {Prediction} prediction
 * @param {Command} command
 */
function applyGoto(prediction, command) {
  const step = command.step ?? "";
  return prediction.route.includes(step) ? moveTo(prediction, step) : applyOffRoute(prediction, command);
}

/**
 * Apply a command for a step that is not on the known route: it is rejected, unless the real route is longer.
 *
 * @param {Prediction} prediction
 * @param {Command} command
 */
function applyOffRoute(prediction, command) {
  const last = prediction.route[prediction.route.length - 1];
  return Object.hasOwn(prediction.session.answers, last) ? block(prediction, command) : prediction;
}

/**
 * @param {Prediction} prediction
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Prediction}
 */
function applyAnswer(prediction, command, survey) {
  const { session } = prediction;
  const step = command.step ?? "";
  if (!prediction.route.includes(step)) return applyOffRoute(prediction, command);
  const value = command.value ?? null;
  const isChange = !Object.hasOwn(session.answers, step) || !isEqual(session.answers[step], value);
  const answered = update(prediction, { answers: { ...session.answers, [step]: value } });
  const route = isChange ? stableRoute(prediction, step, survey) : prediction.route;
  if (isChange && mayLoseAnswer(session, route, step, survey)) return block({ ...answered, route }, command);
  const extended = { ...answered, route: extendRoute(route, answered.session, survey) };
  if (!extended.route.includes(session.current_step)) return block(extended, command);
  return step === session.current_step ? advance(extended, command, survey) : extended;
}

/**
 * Move on from the current step, which the command has answered.
 *
 * @param {Prediction} prediction
 * @param {Command} command
 * @param {KnownSurvey} survey
 */
function advance(prediction, command, survey) {
  const step = prediction.session.current_step;
  const next = prediction.route[prediction.route.indexOf(step) + 1] ?? survey.step(step)?.leads_to ?? null;
  if (next === null) return block(prediction, command);
  return next === END || prediction.route.includes(next) ? moveTo(prediction, next) : block(prediction, command);
}

/**
 * Return the part of the route that a changed answer can't affect: up to the first step that may now lead elsewhere,
 * because of this answer or of answers that leave the route.
 *
 * @param {Position} position
 * @param {string} changed
 * @param {KnownSurvey} survey
 */
function stableRoute(position, changed, survey) {
  let route = position.route;
  let affected = [changed];
  for (;;) {
    const index = route.findIndex((id) => mayLeadElsewhere(survey.step(id), affected, id === changed));
    if (index < 0 || index === route.length - 1) return route;
    route = route.slice(0, index + 1);
    const stable = route;
    affected = Object.keys(position.session.answers).filter((id) => !stable.includes(id));
  }
}

/**
 * Whether a step of the route may lose its answer, because the options that it shows depend on the changed answer, or on
 * answers that leave the route.
 *
 * @param {Session} session
 * @param {string[]} route the part that the change can't affect
 * @param {string} changed
 * @param {KnownSurvey} survey
 */
function mayLoseAnswer(session, route, changed, survey) {
  const leaving = Object.keys(session.answers).filter((id) => !route.includes(id));
  const affected = [changed, ...leaving];
  const answered = route.filter((id) => id !== changed && Object.hasOwn(session.answers, id));
  return answered.some((id) => survey.step(id)?.depends_on?.some((read) => affected.includes(read)) ?? false);
}

/**
 * @param {Step | null} step
 * @param {string[]} affected the steps whose answers change
 * @param {boolean} isChanged whether the step's own answer changes
 */
function mayLeadElsewhere(step, affected, isChanged) {
  if (isChanged) return typeof step?.leads_to !== "string";
  return step?.reads?.some((id) => affected.includes(id)) ?? true;
}

/**
 * Extend a route over answered steps that lead to one step whatever the answer.
 *
 * @param {string[]} route
 * @param {Session} session
 * @param {KnownSurvey} survey
 */
function extendRoute(route, session, survey) {
  const extended = [...route];
  for (;;) {
    const last = extended[extended.length - 1];
    const next = Object.hasOwn(session.answers, last) ? survey.step(last)?.leads_to : null;
    if (typeof next !== "string" || next === END || extended.includes(next) || survey.step(next) === null) return extended;
    extended.push(next);
  }
}

/**
 * Move to a step of the known route, or to the end.
 *
 * @param {Prediction} prediction
 * @param {string} step
 */
function moveTo(prediction, step) {
  const { session, route } = prediction;
  const isEnd = step === END;
  return update(prediction, {
    status: isEnd ? "completed" : "in_progress",
    current_step: step,
    step_history: isEnd ? route : route.slice(0, route.indexOf(step)),
    draft: step === session.current_step ? session.draft : null,
  });
}

/**
 * @param {Prediction} prediction
 * @param {Command} command
 * @returns {Prediction}
 */
function block(prediction, command) {
  return { ...prediction, blockedBy: command.id };
}

/**
 * @param {Prediction} prediction
 * @param {Partial<Session>} changes
 * @returns {Prediction}
 */
function update(prediction, changes) {
  return { ...prediction, session: { ...prediction.session, ...changes } };
}

/**
 * @param {Session} a
 * @param {Session} b
 */
function hasSameAnswers(a, b) {
  return a.survey_revision === b.survey_revision && isEqual(a.answers, b.answers);
}

/**
 * Whether two JSON values are equal, whatever the order of keys.
 *
 * @param {any} a
 * @param {any} b
 * @returns {boolean}
 */
function isEqual(a, b) {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => key in b && isEqual(a[key], b[key]));
}
