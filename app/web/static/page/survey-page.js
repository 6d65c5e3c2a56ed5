// @ts-check
/** The participant's page: puts the client, the step's form, the drafts and the voice together. */

import { fillAnswers } from "./answer-list.js";
import { SurveyClient } from "../client/client.js";
import { DevicePanel } from "./device-panel.js";
import { Drafts } from "./drafts.js";
import { byId } from "../dom.js";
import { isUserId } from "../client/ids.js";
import { forgetUserId, keptUserId } from "./stored-user-id.js";
import { KnownSteps } from "./step-cache.js";
import { END } from "../client/protocol.js";
import { StepForm } from "./step-form.js";
import { SurveyView } from "./survey-view.js";
import { VoiceWalk } from "./audio-mode.js";
import { Walk } from "../client/optimistic-session.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {import("../client/protocol.js").Command} Command
 * @typedef {import("../client/protocol.js").ServerMessage} ServerMessage
 */

const DEFINITION_AGAIN_MS = 30_000; // only going on offline wants it, so there is no hurry
const UNAUTHORIZED = 4401;
const NEW_COOKIE_WITHIN_MS = 2_000; // from the end of the old token to the answer that brings the new one, and more

class SurveyPage {
  /** @type {Session | null} as it is shown: the server's, with what is foreseen of our own commands */
  #session = null;
  /** Whether the step in view is where all commands lead; else the server has to say where one leads. */
  #isKnown = true;
  #wasOnline = false;
  /** Whether the server has greeted us since our credentials were refused the last time. */
  #wasGreeted = false;
  /** The ids of the commands that are looked ahead at. */
  #lookedAt = "";
  #progress = 0;
  /** @type {string | null} where the participant left to edit an earlier answer */
  #returnTo = null;
  #steps = new KnownSteps();
  #walk = new Walk((revision) => this.#steps.of(revision));
  #view = new SurveyView();
  #form = new StepForm({
    send: (step, value) => this.#answer(step, value),
    touched: (step, value) => this.#drafts.touch(step, value),
  });
  #client;
  #drafts;
  #voice;
  #userId;

  /**
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(surveyId, userId) {
    this.#userId = userId;
    const { origin, language } = this.#view.root.dataset;
    const isAudio = new URLSearchParams(location.search).get("is_audio") === "true";
    this.#client = new SurveyClient({ origin: new URL(origin ?? "", location.href).href, surveyId, userId, isAudio });
    this.#drafts = new Drafts(
      surveyId,
      userId,
      (step, value) => this.#client.draft(step, value),
      () => this.#showSave(),
    );
    this.#voice = new VoiceWalk(language ?? "en", {
      next: () => this.#form.submit(),
      skip: () => this.#form.skip(),
      back: () => this.#back(),
      filled: () => this.#form.touch(),
    });
    this.#listenToServer();
    this.#listenToParticipant();
    this.#listenToBrowser();
    if (this.#view.root.dataset.userId !== undefined) this.#openDevicePanel();
  }

  async start() {
    void this.#loadSteps();
    await this.#client.start();
  }

  async #loadSteps() {
    if (await this.#steps.load(this.#view.root.dataset.surveyAddress ?? "")) this.#look("change");
    else setTimeout(() => void this.#loadSteps(), DEFINITION_AGAIN_MS);
  }

  #listenToServer() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ act) =>
      this.#client.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
    for (const type of ["state", "ack", "pending", "sync"]) on(type, (message) => this.#take(message));
    on("reject", (message) => this.#refused(message));
    on("error", (message) => this.#refused(message));
    on("state", () => (this.#wasGreeted = true));
    on("stopped", ({ code, why }) => this.#stopped(code, why));
    on("change", () => this.#connectionChanged());
  }

  #listenToParticipant() {
    const press = (/** @type {string} */ id, /** @type {() => void} */ act) => byId(id).addEventListener("click", act);
    press("back", () => this.#back());
    press("return", () => this.#goto(this.#returnTo ?? ""));
    press("audio", () => void this.#client.setMode(!this.#session?.is_audio_mode));
    press("restart", () => this.#view.askRestart(true));
    press("restart-no", () => this.#view.askRestart(false));
    press("restart-yes", () => this.#restart());
    press("lost-restart", () => this.#restart());
    press("retry", () => location.reload());
  }

  #listenToBrowser() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#drafts.flush();
      else this.#client.retryNow();
    });
    addEventListener("pagehide", () => this.#drafts.flush());
    addEventListener("pageshow", (event) => {
      if (event.persisted) this.#client.retryNow(); // back from the browser's cache, where sockets die
    });
  }

  /**
   * @param {ServerMessage} message
   * @returns {Command | null} the command of ours that it answers
   */
  #take(message) {
    const before = this.#walk.toldSession;
    const meant = this.#walk.take(message, this.#waiting());
    if (this.#client.unacknowledged === 0) this.#form.settle();
    this.#settleDrafts(before, this.#walk.toldSession);
    this.#look(message.type, message.resumed);
    return meant;
  }

  /** The commands to look ahead at; those of another page of this browser come with a greeting. */
  #waiting() {
    const waiting = this.#client.unacknowledgedCommands;
    this.#lookedAt = waiting.map((command) => command.id).join(" ");
    return waiting;
  }

  /**
   * Show where the walk is now.
   *
   * @param {ServerMessage["type"] | "change"} type what made us look
   * @param {boolean} [isResumed]
   */
  #look(type, isResumed) {
    const shown = this.#walk.look();
    if (shown === null || this.#view.part === "stopped") return;
    const before = this.#session;
    const { session, step } = shown;
    this.#session = session;
    this.#progress = shown.progress;
    this.#isKnown = shown.isKnown;
    if (session.status === "completed" || session.current_step === END) this.#showDone();
    else if (step === null || session.status === "expired") this.#showLost(session);
    else this.#showStep(step, before, type);
    this.#showAround();
    if (before === null && isResumed) this.#view.showWelcome();
    this.#voice.setMode(session.is_audio_mode);
  }

  /**
   * A draft ends when its step's answer changes, wherever that was done, or when the walk begins anew.
   *
   * What is only foreseen ends none: the draft is one more copy of an answer that isn't saved yet.
   *
   * @param {Session | null} before
   * @param {Session | null} session
   */
  #settleDrafts(before, session) {
    if (before === null || session === null) return;
    if (isNewWalk(before, session)) this.#drafts.forgetAll();
    for (const [step, value] of Object.entries(session.answers)) {
      if (JSON.stringify(before.answers[step]) !== JSON.stringify(value)) this.#drafts.forget(step);
    }
  }

  /**
   * @param {Step} step
   * @param {Session | null} before
   * @param {ServerMessage["type"] | "change"} type
   */
  #showStep(step, before, type) {
    const session = /** @type {Session} */ (this.#session);
    this.#steps.add(step, session.survey_revision);
    const value = this.#drafts.shownValue(step.id, session);
    const isInView = this.#form.step?.id === step.id && !(before !== null && isNewWalk(before, session));
    if (isInView) {
      if (type === "sync" || type === "state") this.#form.refresh(value);
      return;
    }
    this.#form.show(step, value);
    this.#view.showPart("walk", step.id);
    if (before !== null) this.#form.focusHeading();
    if (this.#form.control !== null) this.#voice.showStep(step, this.#form.control);
  }

  #showDone() {
    const isNew = this.#view.part !== "done";
    const isSaved = this.#walk.toldSession?.status === "completed" && this.#client.unacknowledged === 0;
    if (isSaved) this.#drafts.forgetAll();
    this.#view.showEnd(isSaved);
    this.#form.leave();
    this.#voice.leave();
    this.#view.showPart("done", END);
    if (isNew) this.#view.welcomeAtEnd();
  }

  /** @param {Session} session */
  #showLost(session) {
    this.#form.leave();
    this.#voice.leave();
    this.#view.showPart("lost", session.current_step);
    this.#view.showLostWhy(session.status === "expired");
  }

  /** Everything around the step: place, answers, back, and the notes. */
  #showAround() {
    const session = this.#session;
    if (session === null || this.#view.part === "stopped") return;
    const isDone = this.#view.part === "done";
    if (this.#returnTo === session.current_step || isDone) this.#returnTo = null;
    this.#view.showPlace(session, this.#progress, this.#steps.total);
    this.#view.showMode(session.is_audio_mode);
    const isWaiting = !this.#isKnown && !this.#client.isOnline; // what leads elsewhere could be refused later
    byId("back").hidden = session.step_history.length === 0 || this.#view.part !== "walk" || isWaiting;
    byId("return-note").hidden = this.#returnTo === null || isWaiting;
    const edit = isDone || isWaiting ? null : (/** @type {string} */ id) => this.#edit(id);
    fillAnswers(byId(isDone ? "done-answers" : "answers"), session, this.#steps, edit);
    byId("answers-panel").hidden = isDone || byId("answers").childElementCount === 0;
  }

  /** The participant does something: what was said about an earlier act has been read. */
  #endNotes() {
    this.#view.endWelcome();
    this.#view.showNotice("");
  }

  /**
   * @param {string} step
   * @param {Json} value
   */
  #answer(step, value) {
    this.#drafts.hold(step);
    this.#endNotes();
    void this.#client.answer(step, value).then((answered) => {
      if (answered.type === "ack") this.#drafts.forget(step);
    });
    this.#showSave();
  }

  #back() {
    this.#drafts.flush();
    this.#endNotes();
    void this.#client.back();
  }

  /** @param {string} id */
  #edit(id) {
    this.#returnTo ??= this.#session?.current_step ?? null;
    this.#goto(id);
  }

  /** @param {string} id */
  #goto(id) {
    this.#drafts.flush();
    this.#endNotes();
    /** @type {HTMLDetailsElement} */ (byId("answers-panel")).open = false;
    void this.#client.goto(id);
  }

  #restart() {
    this.#drafts.forgetAll();
    this.#returnTo = null;
    this.#endNotes();
    void this.#client.restart();
  }

  /** @param {ServerMessage} message a reject, or an error */
  #refused(message) {
    if (message.type === "error" && !message.id) {
      console.warn("stepkeep: the server refused a message", message.code, message.message);
      return;
    }
    if (message.code === "not_current") this.#returnTo = null; // an edit changed the route
    const sending = this.#form.sendingStep;
    const meant = this.#take(message);
    const step = meant === null ? sending : meant.step; // too long an answer is never in the outbox
    const text = message.message || "This could not be saved. Please try again.";
    const isAnswer = meant === null || meant.type === "answer";
    if (!isAnswer || !this.#form.refuse(step ?? "", text, meant?.value)) this.#view.showNotice(text);
    this.#showAround();
  }

  #connectionChanged() {
    const lookedAt = this.#lookedAt;
    this.#walk.wait(this.#waiting());
    if (lookedAt !== this.#lookedAt) this.#look("change");
    else if (this.#wasOnline !== this.#client.isOnline) this.#showAround();
    this.#wasOnline = this.#client.isOnline;
    if (this.#client.isOnline && this.#client.unacknowledged === 0) this.#drafts.flush();
    this.#showSave();
  }

  /**
   * No attempt will be made any more, and what was answered is shown to nobody who may not see it.
   *
   * @param {number} code
   * @param {string} why
   */
  #stopped(code, why) {
    if (code === UNAUTHORIZED && this.#wasGreeted) {
      // Another tab of this browser may have signed out all other devices: then a new cookie is here, or on its way.
      this.#wasGreeted = false;
      setTimeout(() => void this.#client.start(), NEW_COOKIE_WITHIN_MS);
      return;
    }
    this.#form.leave();
    this.#voice.leave();
    for (const id of ["step", "answers", "done-answers"]) byId(id).replaceChildren();
    for (const id of ["back", "answers-panel", "resumed", "return-note"]) byId(id).hidden = true;
    this.#view.showNotice("");
    this.#view.showStopped(why);
  }

  /** What the panel for other devices may do with this page; the server must know who it is. */
  #openDevicePanel() {
    new DevicePanel({
      hasUnsent: () => {
        this.#drafts.flush();
        return this.#client.unacknowledged > 0 || this.#drafts.isUnsent;
      },
      pause: () => this.#client.stop(),
      goOn: () => this.#client.start(),
      forget: async () => {
        this.#drafts.forgetAll();
        await forgetUserId(this.#userId);
      },
    });
  }

  #showSave() {
    const { isOnline, unacknowledged, isKeptOnDevice } = this.#client;
    const isSaving = unacknowledged > 0 || this.#drafts.isUnsent;
    const save = !isOnline ? "offline" : isSaving ? "saving" : "saved";
    if (this.#view.part !== "stopped") this.#view.showSave(save, isKeptOnDevice);
    byId("kept").hidden = isOnline || this.#isKnown;
  }
}

/**
 * Whether somebody began the survey again between these two.
 *
 * @param {Session} before
 * @param {Session} session
 */
function isNewWalk(before, session) {
  return Object.keys(session.answers).length === 0 && Object.keys(before.answers).length > 0;
}

async function begin() {
  const { surveyId = "", userId } = byId("survey").dataset;
  const named = userId ?? new URLSearchParams(location.search).get("user"); // the server knows whose cookie came
  if (named !== null && !isUserId(named)) {
    new SurveyView().showStopped("The link that brought you here is not complete. Please ask for a new one.");
    return;
  }
  await new SurveyPage(surveyId, named ?? (await keptUserId())).start();
}

void begin();
