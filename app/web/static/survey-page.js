// @ts-check
/** The participant's page: puts the client, the step's form, the drafts and the voice together. */

import { fillAnswers, KnownSteps } from "./answers.js";
import { CatchUp } from "./catch-up.js";
import { SurveyClient } from "./client.js";
import { Drafts } from "./drafts.js";
import { byId } from "./elements.js";
import { isUserId, keptUserId } from "./ids.js";
import { END } from "./protocol.js";
import { StepForm } from "./step-form.js";
import { SurveyView } from "./survey-view.js";
import { VoiceWalk } from "./voice-walk.js";

/**
 * @typedef {import("./protocol.js").Json} Json
 * @typedef {import("./protocol.js").Step} Step
 * @typedef {import("./protocol.js").Session} Session
 * @typedef {import("./protocol.js").ServerMessage} ServerMessage
 */

class SurveyPage {
  /** @type {Session | null} */
  #session = null;
  #progress = 0;
  /** @type {string | null} where the participant left to edit an earlier answer */
  #returnTo = null;
  #catchUp = new CatchUp();
  #steps = new KnownSteps();
  #view = new SurveyView();
  #form = new StepForm({
    send: (step, value) => this.#answer(step, value),
    touched: (step, value) => this.#drafts.touch(step, value),
  });
  #client;
  #drafts;
  #voice;

  /**
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(surveyId, userId) {
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
  }

  async start() {
    const { surveyAddress } = this.#view.root.dataset;
    void this.#steps.load(surveyAddress ?? "").then(() => this.#showAround());
    await this.#client.start();
  }

  #listenToServer() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ act) =>
      this.#client.addEventListener(type, (event) => act(/** @type {CustomEvent} */ (event).detail));
    for (const type of ["state", "ack", "pending", "sync"]) on(type, (message) => this.#take(message));
    on("reject", (message) => this.#refused(message));
    on("error", (message) => this.#refused(message));
    on("stopped", ({ why }) => this.#view.showStopped(why));
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

  /** @param {ServerMessage} message */
  #take(message) {
    if (message.type === "state" && this.#session !== null) this.#catchUp.begin(this.#client.unacknowledgedIds);
    const shown = this.#catchUp.take(message);
    if (shown?.session) this.#show(shown, shown.session);
  }

  /**
   * @param {ServerMessage} message
   * @param {Session} session as it is now
   */
  #show(message, session) {
    const before = this.#session;
    this.#session = session;
    this.#progress = message.progress ?? 0;
    if (message.type === "ack") this.#view.showNotice("");
    if (this.#client.unacknowledged === 0) this.#form.settle();
    this.#settleDrafts(before, session);
    const step = message.step ?? null;
    if (session.status === "completed" || session.current_step === END) this.#showDone();
    else if (step === null || session.status === "expired") this.#showLost(session);
    else this.#showStep(step, before, message.type);
    this.#showAround();
    if (before === null && message.resumed) this.#view.showWelcome();
    this.#voice.setMode(session.is_audio_mode);
  }

  /**
   * A draft ends when its step's answer changes, wherever that was done, or when the walk begins anew.
   *
   * @param {Session | null} before
   * @param {Session} session
   */
  #settleDrafts(before, session) {
    if (before === null) return;
    if (isNewWalk(before, session)) this.#drafts.forgetAll();
    for (const [step, value] of Object.entries(session.answers)) {
      if (JSON.stringify(before.answers[step]) !== JSON.stringify(value)) this.#drafts.forget(step);
    }
  }

  /**
   * @param {Step} step
   * @param {Session | null} before
   * @param {ServerMessage["type"]} type
   */
  #showStep(step, before, type) {
    const session = /** @type {Session} */ (this.#session);
    this.#steps.add(step);
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
    this.#drafts.forgetAll();
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
    if (session === null) return;
    const isDone = this.#view.part === "done";
    if (this.#returnTo === session.current_step || isDone) this.#returnTo = null;
    this.#view.showPlace(session, this.#progress, this.#steps.total);
    this.#view.showMode(session.is_audio_mode);
    byId("back").hidden = session.step_history.length === 0 || this.#view.part !== "walk";
    byId("return-note").hidden = this.#returnTo === null;
    const edit = isDone ? null : (/** @type {string} */ id) => this.#edit(id);
    fillAnswers(byId(isDone ? "done-answers" : "answers"), session, this.#steps, edit);
    byId("answers-panel").hidden = isDone || byId("answers").childElementCount === 0;
  }

  /**
   * @param {string} step
   * @param {Json} value
   */
  #answer(step, value) {
    this.#drafts.hold();
    this.#view.endWelcome();
    void this.#client.answer(step, value).then((answered) => {
      if (answered.type === "ack") this.#drafts.forget(step);
    });
    this.#showSave();
  }

  #back() {
    this.#drafts.flush();
    this.#view.endWelcome();
    void this.#client.back();
  }

  /** @param {string} id */
  #edit(id) {
    this.#drafts.flush();
    this.#returnTo ??= this.#session?.current_step ?? null;
    this.#goto(id);
  }

  /** @param {string} id */
  #goto(id) {
    this.#view.endWelcome();
    /** @type {HTMLDetailsElement} */ (byId("answers-panel")).open = false;
    void this.#client.goto(id);
  }

  #restart() {
    this.#drafts.forgetAll();
    this.#returnTo = null;
    this.#view.endWelcome();
    void this.#client.restart();
  }

  /** @param {ServerMessage} message a reject, or an error */
  #refused(message) {
    if (message.type === "error" && !message.id) {
      console.warn("stepkeep: the server refused a message", message.code, message.message);
      return;
    }
    if (message.code === "not_current") this.#returnTo = null; // an edit changed the route
    this.#take(message);
    const text = message.message || "This could not be saved. Please try again.";
    if (!this.#form.refuse(text)) this.#view.showNotice(text);
    this.#showAround();
  }

  #connectionChanged() {
    if (this.#client.isOnline && this.#client.unacknowledged === 0) this.#drafts.flush();
    this.#showSave();
  }

  #showSave() {
    const isSaving = this.#client.unacknowledged > 0 || this.#drafts.isUnsent;
    if (this.#view.part !== "stopped") this.#view.showSave(!this.#client.isOnline ? "offline" : isSaving ? "saving" : "saved");
    byId("kept").hidden = this.#client.isOnline || !this.#form.isSending;
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

function begin() {
  const surveyId = byId("survey").dataset.surveyId ?? "";
  const named = new URLSearchParams(location.search).get("user");
  if (named !== null && !isUserId(named)) {
    new SurveyView().showStopped("The link that brought you here is not complete. Please ask for a new one.");
    return;
  }
  void new SurveyPage(surveyId, named ?? keptUserId()).start();
}

begin();
