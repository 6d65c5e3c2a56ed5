// @ts-check
/** The participant's page: connects the client, the step's form, the drafts and audio mode. */

import { SurveyClient } from "../client/client.js";
import { OptimisticSession } from "../client/optimistic-session.js";
import { END } from "../client/protocol.js";
import { byId } from "../dom.js";
import { AnswerList } from "./answer-list.js";
import { AudioMode } from "./audio-mode.js";
import { Done } from "./done.js";
import { Devices } from "./devices.js";
import { Drafts, isRestarted } from "./drafts.js";
import { LanguageMenu } from "./language-menu.js";
import { participantId, readAddress, takeOpening } from "./opening.js";
import { StepCache } from "./step-cache.js";
import { StepForm } from "./step-form.js";
import { SurveyView } from "./survey-view.js";
import { describe, hasText, text } from "./texts.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {import("../client/protocol.js").Ending} Ending
 * @typedef {import("../client/protocol.js").Command} Command
 * @typedef {import("../client/protocol.js").ServerMessage} ServerMessage
 */

const [MALFORMED, UNAUTHORIZED] = [4400, 4401];
const NEW_COOKIE_MS = 2_000; // ample time from the revocation of the old token to the response with the new cookie

class SurveyPage {
  /** @type {Session | null} as shown: the server's, with predicted changes */
  #session = null;
  /** Whether the step in view waits for the server to say where its answer leads. */
  #isBlocked = false;
  /** Whether the server knows that this page lacks a step type. */
  #isOutdated = false;
  #wasOnline = false;
  /** Whether a connection succeeded since the last 4401. */
  #wasAuthorized = false;
  /** The ids of the commands that the session in view predicts. */
  #predictedIds = "";
  #progress = 0;
  #steps = new StepCache();
  #optimistic = new OptimisticSession((revision) => this.#steps.revision(revision));
  #view = new SurveyView();
  #answers = new AnswerList((step) => this.#goto(step));
  #done = new Done(this.#view, { restart: () => this.#restart() });
  #form = new StepForm({
    submit: (step, value, isConfirmed) => this.#answer(step, value, isConfirmed),
    change: (step, value) => this.#drafts.change(step, value),
    check: () => this.#view.showTitle(),
    update: () => this.#render("change"),
  });
  /** @type {string | undefined} in a frame of another site, where there is no cookie */
  #token;
  #client;
  #drafts;
  #audio;
  #language;
  /** @type {Devices | null} on pages of an authenticated participant */
  #devices = null;

  /**
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(surveyId, userId) {
    byId("reference").textContent = userId;
    const { origin, token, language = "en" } = this.#view.root.dataset;
    this.#token = token;
    const { isAudio, parameters } = readAddress();
    const url = new URL(origin ?? "", location.href).href;
    this.#client = new SurveyClient({ origin: url, surveyId, userId, isAudio, language, parameters, token, describe });
    this.#drafts = new Drafts(
      surveyId,
      userId,
      (step, value) => this.#client.draft(step, value),
      () => this.#showSave(),
    );
    this.#audio = new AudioMode({
      next: () => this.#form.submit(),
      skip: () => this.#form.skip(),
      back: () => this.#back(),
      confirm: () => this.#form.confirm(),
      change: () => this.#form.focusField(),
      changed: () => {
        this.#form.change();
        this.#devices?.touch();
      },
    });
    this.#language = new LanguageMenu(language, {
      choose: (tag) => void this.#client.setLanguage(tag),
      changed: (tag) => this.#changeLanguage(tag),
    });
    this.#listenToClient();
    this.#listenToParticipant();
    this.#listenToBrowser();
    if (document.getElementById("device") !== null) this.#devices = new Devices(this.#deviceActions(), surveyId, userId);
  }

  /** @returns {import("./departure.js").Page} */
  #deviceActions() {
    return {
      hasUnsaved: () => {
        this.#drafts.flush();
        return this.#client.unacknowledged > 0 || this.#drafts.hasUnsent;
      },
      disconnect: () => this.#client.stop(),
      connect: () => this.#client.start(),
      forget: () => this.#drafts.discardAll(),
    };
  }

  async start() {
    void this.#loadSteps();
    await this.#client.start(); // with the outbox, whose commands are predicted
    const opening = takeOpening();
    if (opening !== null && this.#session === null) this.#receive(opening);
  }

  /** @param {string | null} [language] that the page has changed to */
  async #loadSteps(language = null) {
    const url = new URL(this.#view.root.dataset.surveyUrl ?? "", location.href);
    if (language !== null) url.searchParams.set("lang", language);
    const steps = this.#steps;
    if (!(await steps.load(url.href, this.#token))) return; // the language has changed
    if (language !== null && steps.survey !== null) this.#view.showSurvey(steps.survey);
    this.#render("change");
  }

  /** @param {string} language of the page's texts, which the survey's follow */
  #changeLanguage(language) {
    this.#drafts.flush();
    this.#steps.close();
    this.#steps = new StepCache();
    void this.#loadSteps(language);
    this.#clearStep();
    this.#render("change");
  }

  #listenToClient() {
    const on = (/** @type {string} */ type, /** @type {(detail: any) => void} */ handle) =>
      this.#client.addEventListener(type, (event) => handle(/** @type {CustomEvent} */ (event).detail));
    for (const type of ["state", "ack", "pending", "sync"]) on(type, (message) => this.#receive(message));
    for (const type of ["reject", "error"]) on(type, (message) => this.#handleRejection(message));
    on("state", () => (this.#wasAuthorized = true));
    on("stopped", ({ code, reason }) => this.#handleStop(code, reason));
    on("change", () => this.#handleChange());
  }

  #listenToParticipant() {
    const press = (/** @type {string} */ id, /** @type {() => void} */ act) => byId(id).addEventListener("click", act);
    press("back", () => this.#back());
    press("audio", () => void this.#client.setMode(!this.#session?.is_audio_mode));
    press("unresumable-restart", () => this.#restart());
    for (const id of ["retry", "reload"]) press(id, () => location.reload());
  }

  #listenToBrowser() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#drafts.flush();
      else this.#client.reconnectNow();
    });
    addEventListener("pagehide", () => this.#drafts.flush());
    addEventListener("pageshow", (event) => {
      if (!event.persisted) return;
      // From the back/forward cache: the person may have left meanwhile. What is stored nowhere else stays.
      if (navigator.onLine && (this.#client.isDurable || this.#client.unacknowledged === 0)) location.reload();
      else this.#client.reconnectNow();
    });
  }

  /**
   * @param {ServerMessage} message
   * @returns {Command | null} our command that it answers
   */
  #receive(message) {
    const before = this.#optimistic.confirmedSession;
    const answered = this.#optimistic.receive(message, this.#commandsToPredict());
    if (this.#client.unacknowledged === 0) this.#form.settle();
    this.#drafts.follow(before, this.#optimistic.confirmedSession);
    this.#render(message.type, message.resumed);
    void this.#language.follow(this.#optimistic.confirmedSession);
    return answered;
  }

  /** Return the unacknowledged commands; those of another tab are among them after a reconnect. */
  #commandsToPredict() {
    const commands = this.#client.unacknowledgedCommands;
    this.#predictedIds = commands.map((command) => command.id).join(" ");
    return commands;
  }

  /**
   * Show the session's current step.
   *
   * @param {ServerMessage["type"] | "change"} cause
   * @param {boolean} [isResumed]
   */
  #render(cause, isResumed) {
    const view = this.#optimistic.view();
    if (view === null || this.#view.part === "stopped") return;
    const before = this.#session;
    const { session, step } = view;
    this.#session = session;
    this.#progress = view.progress;
    this.#isBlocked = view.isBlocked;
    if (session.status === "completed" || session.current_step === END) this.#showDone(view.ending);
    else if (step === null || session.status === "expired") this.#clearStep(), this.#view.showUnresumable(session);
    else this.#showStep(step, before, cause);
    this.#showSurroundings();
    this.#updateDevices();
    if (before === null && isResumed) this.#view.showWelcome();
    this.#showSave();
    this.#audio.toggle(session.is_audio_mode);
  }

  /**
   * @param {Step} step
   * @param {Session | null} before
   * @param {ServerMessage["type"] | "change"} cause
   */
  #showStep(step, before, cause) {
    const session = /** @type {Session} */ (this.#session);
    this.#steps.add(step, session.survey_revision);
    const [value, known] = [this.#drafts.initialValue(step, session), this.#steps.known(session)];
    const isInView = this.#form.step?.id === step.id && !(before !== null && isRestarted(before, session));
    const isTranslated = before?.language !== session.language; // it is drawn anew with the page's texts
    if (isInView && !this.#isOutdated && (isTranslated || this.#form.isCurrent(step, known))) {
      if (cause === "sync" || cause === "state" || cause === "ack") this.#form.refresh(value); // with its draft
      return;
    }
    const isSupported = isInView ? this.#form.redraw(step, value, known) : this.#form.show(step, value, known);
    if (this.#isOutdated || !isSupported) return this.#showUnsupported(step.id);
    this.#view.showPart("step-form", step.id);
    if (before !== null && !isInView) this.#form.focusHeading();
    if (this.#form.control !== null) this.#audio.showStep(step, this.#form.control);
  }

  /** @param {Ending | null} ending */
  #showDone(ending) {
    const isSaved = this.#optimistic.confirmedSession?.status === "completed" && this.#client.unacknowledged === 0;
    if (isSaved) this.#drafts.discardAll();
    if (this.#view.part !== "done") this.#clearStep();
    const spoken = this.#done.show(isSaved, ending);
    if (isSaved && spoken !== null) this.#audio.announce(spoken);
  }

  /** @param {string} step of a type that this page does not know */
  #showUnsupported(step) {
    this.#clearStep();
    this.#view.showPart("unsupported", step);
  }

  #clearStep() {
    this.#form.clear();
    this.#audio.clear();
  }

  /** Show everything around the step: position, mode, answers, Back and notes. */
  #showSurroundings() {
    const session = this.#session;
    if (session === null || this.#view.part === "stopped") return;
    const isDone = this.#view.part === "done";
    this.#view.showPosition(session, this.#progress, this.#steps.size);
    this.#view.showMode(session.is_audio_mode);
    const isWaiting = this.#isBlocked && !this.#client.isOnline; // a move elsewhere could be rejected later
    byId("back").hidden = session.step_history.length === 0 || this.#view.part !== "step-form" || isWaiting;
    if (isDone) this.#answers.showRecord(session, this.#steps);
    else this.#answers.show(session, this.#steps, !isWaiting);
  }

  /**
   * @param {string} step
   * @param {Json} value
   * @param {boolean} confirmed
   */
  #answer(step, value, confirmed) {
    this.#drafts.markSubmitted(step);
    this.#view.clearNotes();
    void this.#client.answer(step, value, { confirmed }).then((outcome) => {
      if (outcome.type === "ack") this.#drafts.discard(step);
    });
    this.#showSave();
  }

  #back() {
    this.#drafts.flush();
    this.#view.clearNotes();
    void this.#client.back();
  }

  /** @param {string} id */
  #goto(id) {
    this.#drafts.flush();
    this.#view.clearNotes();
    void this.#client.goto(id);
  }

  #restart() {
    this.#drafts.discardAll();
    this.#answers.forgetReturn();
    this.#view.clearNotes();
    void this.#client.restart();
  }

  /** @param {ServerMessage} message a reject or an error */
  #handleRejection(message) {
    this.#isOutdated ||= message.code === "reload";
    if (message.type === "error" && !message.id) {
      this.#render("change");
      console.warn("stepkeep: the server rejected a message", message.code, message.message);
      return;
    }
    if (message.code === "not_current") this.#answers.forgetReturn(); // an edit changed the route
    this.#view.clearNotes(); // the step that they name may have been a prediction
    const { submittedStep } = this.#form;
    const command = this.#receive(message);
    const step = command === null ? submittedStep : command.step; // null: too large, and never in the outbox
    const isForParticipant = message.type === "reject" || message.code === "quota";
    const problem = isForParticipant && message.message ? message.message : text("script.not_accepted");
    if (!this.#showRejection(command, message, step ?? "", problem)) {
      const prompt = this.#steps.title(step ?? "");
      this.#view.showNotice(message.code === "confirm" ? text("script.confirm.elsewhere", { prompt, problem }) : problem);
    }
    this.#audio.interrupt(problem);
    this.#showSurroundings();
  }

  /**
   * Show beside the step why its answer is not accepted.
   *
   * @param {Command | null} command
   * @param {ServerMessage} message
   * @param {string} step
   * @param {string} problem
   * @returns {boolean} false if it is not in view
   */
  #showRejection(command, { code, fields }, step, problem) {
    if (command !== null && command.type !== "answer") return false;
    if (code === "confirm") return this.#form.askToConfirm(step, problem, command?.value ?? null);
    return this.#form.reject(step, problem, fields, command?.value);
  }

  /** Handle a changed connection or outbox. */
  #handleChange() {
    const predictedIds = this.#predictedIds;
    this.#optimistic.setUnacknowledged(this.#commandsToPredict());
    if (predictedIds !== this.#predictedIds) this.#render("change");
    else if (this.#wasOnline !== this.#client.isOnline) this.#showSurroundings();
    this.#wasOnline = this.#client.isOnline;
    if (this.#client.isOnline && this.#client.unacknowledged === 0) this.#drafts.flush();
    this.#showSave();
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #handleStop(code, reason) {
    if (code === UNAUTHORIZED && this.#wasAuthorized) {
      // Another tab may have signed out all other devices: then this browser has a new cookie, or gets it soon.
      this.#wasAuthorized = false;
      setTimeout(() => void this.#client.start(), NEW_COOKIE_MS);
      return;
    }
    this.#clearStep();
    const hasBegun = this.#session !== null; // else the address has no parameters that the survey accepts
    const key = `script.closed.${code === MALFORMED && !hasBegun ? "link_incomplete" : code}`;
    this.#view.showStopped(hasText(key) ? text(key) : reason);
  }

  #updateDevices() {
    const session = this.#session;
    const hasAnswer = session !== null && (Object.keys(session.answers).length > 0 || session.draft !== null);
    const isSaved = this.#client.unacknowledged === 0;
    this.#devices?.update(hasAnswer || !this.#drafts.isEmpty, this.#view.part === "done" && isSaved);
  }

  #showSave() {
    const { isOnline, isConnecting, unacknowledged, isDurable } = this.#client;
    const isSaving = unacknowledged > 0 || this.#drafts.hasUnsent;
    const save = isConnecting ? "connecting" : !isOnline ? "offline" : isSaving ? "saving" : "saved";
    if (this.#view.part !== "stopped") this.#view.showSave(save, isDurable);
    byId("offline-note").hidden = isOnline || !this.#isBlocked;
  }
}

async function start() {
  const userId = await participantId();
  if (userId === null) new SurveyView().showStopped(text("script.closed.link_incomplete"));
  else await new SurveyPage(byId("survey").dataset.surveyId ?? "", userId).start();
}

void start();
