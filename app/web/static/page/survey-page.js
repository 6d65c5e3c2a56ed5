// @ts-check
/** The participant's page: connects the client, the step's form, the drafts and audio mode. */

import { SurveyClient } from "../client/client.js";
import { isUserId } from "../client/ids.js";
import { OptimisticSession } from "../client/optimistic-session.js";
import { END } from "../client/protocol.js";
import { byId } from "../dom.js";
import { showAnswers } from "./answer-list.js";
import { AudioMode } from "./audio-mode.js";
import { Departure } from "./departure.js";
import { DevicePanel } from "./device-panel.js";
import { Drafts } from "./drafts.js";
import { Kiosk } from "./kiosk.js";
import { StepCache } from "./step-cache.js";
import { StepForm } from "./step-form.js";
import { storedUserId } from "./stored-user-id.js";
import { SurveyView } from "./survey-view.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("../client/protocol.js").Session} Session
 * @typedef {import("../client/protocol.js").Command} Command
 * @typedef {import("../client/protocol.js").ServerMessage} ServerMessage
 */

const RELOAD_STEPS_MS = 30_000; // only predictions need the definition, so there is no hurry
const UNAUTHORIZED = 4401;
const NOT_ACCEPTED = "This could not be saved as it is. Please change it, or reload this page and try again.";
const NEW_COOKIE_MS = 2_000; // ample time from the revocation of the old token to the response with the new cookie

class SurveyPage {
  /** @type {Session | null} as shown: the server's, with predicted changes */
  #session = null;
  /** Whether the step in view waits for the server to say where its answer leads. */
  #isBlocked = false;
  #wasOnline = false;
  /** Whether a connection succeeded since the last 4401. */
  #wasAuthorized = false;
  /** The ids of the commands that the session in view predicts. */
  #predictedIds = "";
  #progress = 0;
  /** @type {string | null} the step that the participant left to edit an earlier answer */
  #returnTo = null;
  #steps = new StepCache();
  #optimistic = new OptimisticSession((revision) => this.#steps.revision(revision));
  #view = new SurveyView();
  #form = new StepForm({
    submit: (step, value) => this.#answer(step, value),
    change: (step, value) => this.#drafts.change(step, value),
    check: () => this.#view.showTitle(),
  });
  #client;
  #drafts;
  #audio;
  /** @type {Kiosk | null} on a shared device */
  #kiosk = null;

  /**
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(surveyId, userId) {
    byId("reference").textContent = userId;
    const { origin, language } = this.#view.root.dataset;
    const isAudio = new URLSearchParams(location.search).get("is_audio") === "true";
    this.#client = new SurveyClient({ origin: new URL(origin ?? "", location.href).href, surveyId, userId, isAudio });
    this.#drafts = new Drafts(
      surveyId,
      userId,
      (step, value) => this.#client.draft(step, value),
      () => this.#showSave(),
    );
    this.#audio = new AudioMode(language ?? "en", {
      next: () => this.#form.submit(),
      skip: () => this.#form.skip(),
      back: () => this.#back(),
      changed: () => {
        this.#form.change();
        this.#kiosk?.touch();
      },
    });
    this.#listenToClient();
    this.#listenToParticipant();
    this.#listenToBrowser();
    if (this.#view.root.dataset.userId !== undefined) this.#createDevicePanel(surveyId, userId);
  }

  async start() {
    void this.#loadSteps();
    await this.#client.start();
  }

  async #loadSteps() {
    if (await this.#steps.load(this.#view.root.dataset.surveyUrl ?? "")) this.#render("change");
    else setTimeout(() => void this.#loadSteps(), RELOAD_STEPS_MS);
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
    press("return", () => this.#goto(this.#returnTo ?? ""));
    press("audio", () => void this.#client.setMode(!this.#session?.is_audio_mode));
    press("restart", () => this.#view.askRestart(true));
    press("restart-no", () => this.#view.askRestart(false));
    press("restart-yes", () => this.#restart());
    press("unresumable-restart", () => this.#restart());
    press("print", () => print());
    for (const id of ["retry", "reload"]) press(id, () => location.reload());
  }

  #listenToBrowser() {
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "hidden") this.#drafts.flush();
      else this.#client.reconnectNow();
    });
    addEventListener("pagehide", () => this.#drafts.flush());
    addEventListener("beforeprint", () => this.#view.printAnswers(true));
    addEventListener("afterprint", () => this.#view.printAnswers(false));
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
    this.#discardDrafts(before, this.#optimistic.confirmedSession);
    this.#render(message.type, message.resumed);
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
    if (session.status === "completed" || session.current_step === END) this.#showDone();
    else if (step === null || session.status === "expired") this.#showUnresumable(session);
    else this.#showStep(step, before, cause);
    this.#showSurroundings();
    this.#updateKiosk();
    if (before === null && isResumed) this.#view.showWelcome();
    this.#showSave();
    this.#audio.toggle(session.is_audio_mode);
  }

  /**
   * Discard the drafts of steps whose answers changed, on any device, and all drafts after a restart. Predicted answers
   * discard none: the draft is one more copy of an answer that isn't saved yet.
   *
   * @param {Session | null} before
   * @param {Session | null} session
   */
  #discardDrafts(before, session) {
    if (before === null || session === null) return;
    if (isRestarted(before, session)) this.#drafts.discardAll();
    for (const [step, value] of Object.entries(session.answers)) {
      if (JSON.stringify(before.answers[step]) !== JSON.stringify(value)) this.#drafts.discard(step);
    }
  }

  /**
   * @param {Step} step
   * @param {Session | null} before
   * @param {ServerMessage["type"] | "change"} cause
   */
  #showStep(step, before, cause) {
    const session = /** @type {Session} */ (this.#session);
    this.#steps.add(step, session.survey_revision);
    const value = this.#drafts.initialValue(step.id, session);
    const isInView = this.#form.step?.id === step.id && !(before !== null && isRestarted(before, session));
    if (isInView) {
      if (cause === "sync" || cause === "state") this.#form.refresh(value);
      return;
    }
    if (!this.#form.show(step, value)) {
      this.#audio.clear();
      this.#view.showPart("unsupported", step.id);
      return;
    }
    this.#view.showPart("step-form", step.id);
    if (before !== null) this.#form.focusHeading();
    if (this.#form.control !== null) this.#audio.showStep(step, this.#form.control);
  }

  #showDone() {
    const isSaved = this.#optimistic.confirmedSession?.status === "completed" && this.#client.unacknowledged === 0;
    if (isSaved) this.#drafts.discardAll();
    this.#clearStep();
    this.#view.showDone(isSaved);
  }

  /** @param {Session} session */
  #showUnresumable(session) {
    this.#clearStep();
    this.#view.showUnresumable(session);
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
    if (this.#returnTo === session.current_step || isDone) this.#returnTo = null;
    this.#view.showPosition(session, this.#progress, this.#steps.size);
    this.#view.showMode(session.is_audio_mode);
    const isWaiting = this.#isBlocked && !this.#client.isOnline; // a move elsewhere could be rejected later
    byId("back").hidden = session.step_history.length === 0 || this.#view.part !== "step-form" || isWaiting;
    byId("return-note").hidden = this.#returnTo === null || isWaiting;
    const edit = isDone || isWaiting ? null : (/** @type {string} */ id) => this.#edit(id);
    showAnswers(byId(isDone ? "done-answers" : "answers"), session, this.#steps, edit);
    byId("answers-panel").hidden = isDone || byId("answers").childElementCount === 0;
  }

  /**
   * @param {string} step
   * @param {Json} value
   */
  #answer(step, value) {
    this.#drafts.markSubmitted(step);
    this.#view.clearNotes();
    void this.#client.answer(step, value).then((outcome) => {
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
  #edit(id) {
    this.#returnTo ??= this.#session?.current_step ?? null;
    this.#goto(id);
  }

  /** @param {string} id */
  #goto(id) {
    this.#drafts.flush();
    this.#view.clearNotes();
    /** @type {HTMLDetailsElement} */ (byId("answers-panel")).open = false;
    void this.#client.goto(id);
  }

  #restart() {
    this.#drafts.discardAll();
    this.#returnTo = null;
    this.#view.clearNotes();
    void this.#client.restart();
  }

  /** @param {ServerMessage} message a reject or an error */
  #handleRejection(message) {
    if (message.type === "error" && !message.id) {
      console.warn("stepkeep: the server rejected a message", message.code, message.message);
      return;
    }
    if (message.code === "not_current") this.#returnTo = null; // an edit changed the route
    this.#view.clearNotes(); // the step that they name may have been a prediction
    const { submittedStep } = this.#form;
    const command = this.#receive(message);
    const step = command === null ? submittedStep : command.step; // null: too large, and never in the outbox
    const isForParticipant = message.type === "reject" || message.code === "quota";
    const text = isForParticipant && message.message ? message.message : NOT_ACCEPTED;
    const isAnswer = command === null || command.type === "answer";
    if (!isAnswer || !this.#form.reject(step ?? "", text, command?.value)) this.#view.showNotice(text);
    this.#showSurroundings();
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
    this.#view.showStopped(reason);
  }

  /**
   * Create what only pages of an authenticated participant have: the panel for other devices, and ways to leave this one.
   *
   * @param {string} surveyId
   * @param {string} userId
   */
  #createDevicePanel(surveyId, userId) {
    const page = {
      hasUnsaved: () => {
        this.#drafts.flush();
        return this.#client.unacknowledged > 0 || this.#drafts.hasUnsent;
      },
      disconnect: () => this.#client.stop(),
      connect: () => this.#client.start(),
      forget: () => this.#drafts.discardAll(),
    };
    const departure = new Departure(page, surveyId, userId);
    new DevicePanel(page, departure);
    byId("finish").addEventListener("click", async () => {
      byId("finish-note").textContent = await departure.leave();
    });
    if (document.getElementById("kiosk") !== null) this.#kiosk = new Kiosk(departure);
  }

  #updateKiosk() {
    const session = this.#session;
    const hasAnswer = session !== null && (Object.keys(session.answers).length > 0 || session.draft !== null);
    const isSaved = this.#client.unacknowledged === 0;
    this.#kiosk?.update(hasAnswer || !this.#drafts.isEmpty, this.#view.part === "done" && isSaved);
  }

  #showSave() {
    const { isOnline, unacknowledged, isDurable } = this.#client;
    const isSaving = unacknowledged > 0 || this.#drafts.hasUnsent;
    const save = !isOnline ? "offline" : isSaving ? "saving" : "saved";
    if (this.#view.part !== "stopped") this.#view.showSave(save, isDurable);
    byId("offline-note").hidden = isOnline || !this.#isBlocked;
  }
}

/**
 * Whether the survey was restarted between two sessions.
 *
 * @param {Session} before
 * @param {Session} session
 */
function isRestarted(before, session) {
  return Object.keys(session.answers).length === 0 && Object.keys(before.answers).length > 0;
}

async function start() {
  const { surveyId = "", userId } = byId("survey").dataset; // in production, userId is the cookie's participant
  const named = userId ?? new URLSearchParams(location.search).get("user");
  if (named !== null && !isUserId(named)) {
    new SurveyView().showStopped("The link that brought you here is not complete. Please ask for a new one.");
    return;
  }
  await new SurveyPage(surveyId, named ?? (await storedUserId())).start();
}

void start();
