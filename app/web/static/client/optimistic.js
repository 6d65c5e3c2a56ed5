// @ts-check
/**
 * The session as it will be when the server has accepted what it has not acknowledged yet, as far as
 * that can be known here. The server alone decides; this only looks ahead, so that a participant can go
 * on without a connection. Pure: takes values, returns values.
 *
 * Known is where a step leads whatever is answered (`leads_to`), which answers decide where a step
 * leads (`reads`), and the route that the session has shown. So a first answer to a step with
 * conditions is where knowledge ends: it may even complete the survey, and then all that follows is
 * refused. Only a new walk is known again.
 */

import { END } from "./protocol.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").Session} Session
 * @typedef {import("./protocol.js").Command} Command
 *
 * @typedef {object} KnownSurvey what is known of the definition that the session keeps to
 * @property {(id: string) => Step | null} step with `leads_to` and `reads`, where these are known
 * @property {{first: string, revision: string} | null} newest where a new walk begins
 * @property {number | null} size how many steps there are, if that is known
 *
 * @typedef {object} Known
 * @property {Session} session
 * @property {string[]} route the steps of the walk as far as they are known, those after the position
 *   included; the last one waits for an answer, or leads where only the server knows
 *
 * @typedef {Known & {endsAt: string | null, isModeUnknown?: boolean}} Foreseen endsAt: the id of the command whose outcome can't
 *   be known: the session is the one before it, with its answer; null where all is known.
 *   isModeUnknown: the mode was set behind that one, which may have been refused
 */

/**
 * @param {Known} known the server's session, and its route (`routeOf`)
 * @param {readonly Command[]} commands what it doesn't include yet, oldest first
 * @param {KnownSurvey} survey
 * @returns {Foreseen}
 */
export function foresee(known, commands, survey) {
  /** @type {Foreseen} */
  let foreseen = { ...known, endsAt: null };
  for (const command of commands) foreseen = after(foreseen, command, survey);
  return foreseen;
}

/**
 * The route that a session of the server shows, with what an earlier look at the same answers knew of it.
 *
 * @param {Session} session
 * @param {Known | null} before
 * @param {KnownSurvey} survey
 * @returns {string[]}
 */
export function routeOf(session, before, survey) {
  const isDone = session.current_step === END;
  const shown = isDone ? session.step_history : [...session.step_history, session.current_step];
  const isSame = before !== null && isSameWalk(before.session, session);
  const isLonger = isSame && shown.every((step, index) => before.route[index] === step);
  return isDone ? [...shown] : prolonged(isLonger ? before.route : shown, session, survey);
}

/**
 * @param {Foreseen} known
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Foreseen}
 */
function after(known, command, survey) {
  if (command.type === "restart") return restarted(known, command, survey);
  if (known.endsAt !== null) return command.type === "mode" ? { ...known, isModeUnknown: true } : known;
  if (known.session.status !== "in_progress") return known; // it will be refused
  switch (command.type) {
    case "mode":
      return with_(known, { is_audio_mode: command.audio === true });
    case "goto":
      return moved(known, command);
    case "back":
      return wentBack(known);
    default:
      return answered(known, command, survey);
  }
}

/**
 * @param {Foreseen} known
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Foreseen}
 */
function restarted(known, command, survey) {
  if (survey.newest === null || known.isModeUnknown) return unknownFrom(known, command);
  const { first, revision } = survey.newest;
  const session = {
    ...known.session,
    survey_revision: revision,
    status: "in_progress",
    current_step: first,
    answers: {},
    step_history: [],
    draft: null,
  };
  return { session, route: [first], endsAt: null };
}

/**
 * @param {Foreseen} known
 * @returns {Foreseen}
 */
function wentBack(known) {
  const behind = known.session.step_history;
  return behind.length === 0 ? known : at(known, behind[behind.length - 1]);
}

/**
 * @param {Foreseen} known
 * @param {Command} command
 * @returns {Foreseen}
 */
function moved(known, command) {
  const step = command.step ?? "";
  return known.route.includes(step) ? at(known, step) : elsewhere(known, command);
}

/**
 * What names a step that is not on the known route: it is refused, unless there is more of a route.
 *
 * @param {Foreseen} known
 * @param {Command} command
 * @returns {Foreseen}
 */
function elsewhere(known, command) {
  const last = known.route[known.route.length - 1];
  return Object.hasOwn(known.session.answers, last) ? unknownFrom(known, command) : known;
}

/**
 * @param {Foreseen} known
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Foreseen}
 */
function answered(known, command, survey) {
  const { session } = known;
  const step = command.step ?? "";
  if (!known.route.includes(step)) return elsewhere(known, command);
  const value = command.value ?? null;
  const isChange = !Object.hasOwn(session.answers, step) || !isEqual(session.answers[step], value);
  const given = with_(known, { answers: { ...session.answers, [step]: value } });
  const route = isChange ? sure(known, step, survey) : known.route;
  const from = session.current_step;
  const onward = { ...given, route: prolonged(route, given.session, survey) };
  if (!onward.route.includes(from)) return unknownFrom(onward, command);
  return step === from ? wentOn(onward, command, survey) : onward;
}

/**
 * On from the current step, which has just been answered.
 *
 * @param {Foreseen} known
 * @param {Command} command
 * @param {KnownSurvey} survey
 * @returns {Foreseen}
 */
function wentOn(known, command, survey) {
  const step = known.session.current_step;
  const next = known.route[known.route.indexOf(step) + 1] ?? survey.step(step)?.leads_to ?? null;
  if (next === null) return unknownFrom(known, command);
  return next === END || known.route.includes(next) ? at(known, next) : unknownFrom(known, command);
}

/**
 * The part of the route that stays when a step's answer changes: up to the first step that this may
 * turn, or that an answer may turn which leaves the route with what comes after that.
 *
 * @param {Known} known
 * @param {string} changed
 * @param {KnownSurvey} survey
 */
function sure(known, changed, survey) {
  let stays = known.route;
  let changing = [changed];
  for (;;) {
    const turning = stays.findIndex((id) => canTurn(survey.step(id), changing, id === changed));
    if (turning < 0 || turning === stays.length - 1) return stays;
    stays = stays.slice(0, turning + 1);
    changing = Object.keys(known.session.answers).filter((id) => !stays.includes(id));
  }
}

/**
 * @param {Step | null} step
 * @param {string[]} changing the steps whose answers change
 * @param {boolean} isItself whether it is one of these
 */
function canTurn(step, changing, isItself) {
  if (isItself) return typeof step?.leads_to !== "string";
  return step?.reads?.some((read) => changing.includes(read)) ?? true;
}

/**
 * A route with what follows from answers that are given and steps that always lead to the same place.
 *
 * @param {string[]} route
 * @param {Session} session
 * @param {KnownSurvey} survey
 */
function prolonged(route, session, survey) {
  const longer = [...route];
  for (;;) {
    const last = longer[longer.length - 1];
    const next = Object.hasOwn(session.answers, last) ? survey.step(last)?.leads_to : null;
    if (typeof next !== "string" || next === END || longer.includes(next) || survey.step(next) === null) return longer;
    longer.push(next);
  }
}

/**
 * The position moves to a step of the known route, or to the end.
 *
 * @param {Foreseen} known
 * @param {string} step
 * @returns {Foreseen}
 */
function at(known, step) {
  const isEnd = step === END;
  const session = {
    ...known.session,
    status: isEnd ? "completed" : "in_progress",
    current_step: step,
    step_history: isEnd ? known.route : known.route.slice(0, known.route.indexOf(step)),
    draft: step === known.session.current_step ? known.session.draft : null,
  };
  return { ...known, session };
}

/**
 * @param {Foreseen} known
 * @param {Command} command
 * @returns {Foreseen}
 */
function unknownFrom(known, command) {
  return { ...known, endsAt: command.id };
}

/**
 * @param {Foreseen} known
 * @param {Partial<Session>} changes
 * @returns {Foreseen}
 */
function with_(known, changes) {
  return { ...known, session: { ...known.session, ...changes } };
}

/**
 * @param {Session} one
 * @param {Session} other
 */
function isSameWalk(one, other) {
  return one.survey_revision === other.survey_revision && isEqual(one.answers, other.answers);
}

/**
 * Whether two values are the same JSON, whatever the order of an object's keys.
 *
 * @param {Json} one
 * @param {Json} other
 * @returns {boolean}
 */
function isEqual(one, other) {
  if (one === other) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [keys, others] = [Object.keys(one), Object.keys(other)];
  return keys.length === others.length && keys.every((key) => key in other && isEqual(asMap(one)[key], asMap(other)[key]));
}

/** @param {any} value @returns {Record<string, Json>} */
function asMap(value) {
  return value;
}
