// @ts-check
/**
 * Audio mode: reads each step aloud, listens, fills in the answer and reads it back.
 *
 * An answer is sent only after the participant has confirmed it, by voice or by hand.
 */

import { byId } from "../dom.js";
import { formatAnswer, stepType } from "./controls/index.js";
import { isPhrase, normalize } from "./controls/speech.js";
import { phrases, text } from "./texts.js";
import { Voice } from "./voice.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./controls/index.js").StepControl} StepControl
 * @typedef {"next" | "back" | "repeat" | "skip" | "confirm" | "change"} VoiceCommand
 *
 * @typedef {object} Actions
 * @property {() => void} next
 * @property {() => void} back
 * @property {() => void} skip
 * @property {() => void} confirm the answer in question is right
 * @property {() => void} change it is not
 * @property {() => void} changed the control has another answer
 */

const VOICE_COMMANDS = /** @type {VoiceCommand[]} */ (["next", "back", "repeat", "skip"]);
const CONFIRMATION_COMMANDS = /** @type {VoiceCommand[]} */ (["confirm", "change", "back", "repeat"]);

/** Keys of texts, by error code of the Web Speech API. */
const LISTEN_ERRORS = new Map([
  ["not-allowed", "script.audio.not_allowed"],
  ["service-not-allowed", "script.audio.cannot_listen"],
  ["audio-capture", "script.audio.no_microphone"],
  ["network", "script.audio.unreachable"],
]);

/** After these, listening again can't succeed until the participant changes a setting. */
const CANNOT_SUCCEED = new Set(["not-allowed", "service-not-allowed", "audio-capture"]);

const ATTEMPTS = 3; // then the page waits for a button: it may hear other people

export class AudioMode {
  #isOn = false;
  /** @type {{step: Step, control: StepControl} | null} */
  #whole = null;
  /** The field of a page, or the row of a grid, that is asked. */
  #place = 0;
  /** Counts dialogue turns; one that awaits speech ends when a newer one has started. */
  #turn = 0;
  #voice = new Voice();
  #actions;

  /** @param {Actions} actions */
  constructor(actions) {
    this.#actions = actions;
    byId("voice-again").addEventListener("click", () => void this.#readStep());
    byId("voice-answer").addEventListener("click", () => void this.#listen(this.#startTurn()));
    document.addEventListener("visibilitychange", () => document.hidden && this.#startTurn());
  }

  /** What is asked: the step, or one of its fields or rows. */
  get #current() {
    return this.#whole?.control.parts?.()[this.#place] ?? this.#whole;
  }

  /** @param {boolean} isOn */
  toggle(isOn) {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    byId("voice").hidden = !isOn;
    byId("voice-again").hidden = !this.#voice.canSpeak;
    byId("voice-answer").hidden = !this.#voice.canListen;
    if (isOn) void this.#readStep();
    else this.#startTurn();
  }

  /**
   * @param {Step} step
   * @param {StepControl} control
   */
  showStep(step, control) {
    this.#whole = { step, control };
    this.#place = 0;
    if (this.#isOn) void this.#readStep();
  }

  clear() {
    this.#whole = null;
    this.#startTurn();
  }

  /**
   * Read a text aloud that asks for nothing.
   *
   * @param {string} spoken
   */
  announce(spoken) {
    this.#startTurn();
    if (this.#isOn && !document.hidden) void this.#voice.speak(spoken);
  }

  /**
   * Say why the survey does not continue: the server has rejected a command.
   *
   * @param {string} reason
   */
  interrupt(reason) {
    const marked = this.#whole?.control.parts?.().findIndex(({ problem }) => !problem.hidden) ?? -1;
    if (marked >= 0) this.#place = marked;
    if (this.#isOn && this.#current !== null && !document.hidden) void this.#ask(reason, this.#startTurn(), ATTEMPTS);
  }

  #startTurn() {
    this.#voice.stop();
    this.#turn += 1;
    return this.#turn;
  }

  async #readStep() {
    const turn = this.#startTurn();
    if (this.#current === null || document.hidden) return;
    if (!this.#voice.canSpeak) return this.#note(text("script.audio.cannot_speak"));
    this.#note(text("script.audio.reading"));
    const outcome = await this.#voice.speak(this.#spokenPrompt());
    if (turn !== this.#turn) return;
    if (outcome === "blocked") return this.#note(text("script.audio.press_to_hear", { button: labelOf("voice-again") }));
    byId("voice-again").hidden = outcome === "silent";
    if (outcome === "silent") return this.#note(text("script.audio.no_voice"));
    await this.#listen(turn);
  }

  /** Return what is spoken for what is asked; before the first field or row, the step's prompt. */
  #spokenPrompt() {
    const { step } = /** @type {{step: Step}} */ (this.#current);
    const isFirst = this.#place === 0 && this.#whole !== null && this.#whole.step !== step;
    return [...(isFirst ? [spokenPrompt(/** @type {{step: Step}} */ (this.#whole).step)] : []), spokenPrompt(step)].join(" ");
  }

  /**
   * @param {number} turn
   * @param {number} [attempts] how often to listen until something is understood
   * @param {string} [before] shown before the request to speak
   */
  async #listen(turn, attempts = ATTEMPTS, before = "") {
    if (!this.#voice.canListen) return this.#note(text("script.audio.cannot_listen"));
    const isConfirming = isConfirmationOpen();
    this.#note(before + text(isConfirming ? "script.confirm.listening" : "script.audio.listening", commandNames()));
    const result = await this.#voice.listen();
    if (turn !== this.#turn || this.#current === null) return;
    if ("transcript" in result) return this.#process(result.transcript, turn, attempts);
    if (CANNOT_SUCCEED.has(result.error)) byId("voice-answer").hidden = true;
    const key = LISTEN_ERRORS.get(result.error) ?? "script.audio.nothing_heard";
    this.#note(text(key, { button: labelOf("voice-answer") }));
  }

  /**
   * @param {string} transcript
   * @param {number} turn
   * @param {number} attempts
   */
  async #process(transcript, turn, attempts) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    const input = interpret(step, transcript, isConfirmationOpen());
    if (input === null) return this.#ask(this.#misunderstanding(transcript), turn, attempts - 1);
    if ("command" in input) return this.#execute(input.command, turn, attempts - 1);
    control.show(input.value);
    this.#actions.changed();
    const understood = { answer: formatAnswer(step, input.value), ...commandNames() };
    this.#note(text("script.audio.understood", understood));
    await this.#voice.speak(text("script.audio.understood_spoken", understood));
    if (turn === this.#turn) await this.#listen(turn);
  }

  /**
   * @param {VoiceCommand} command
   * @param {number} turn
   * @param {number} attempts
   */
  async #execute(command, turn, attempts) {
    if (command === "repeat" && isConfirmationOpen()) return this.#ask(byId("confirm-text").textContent ?? "", turn, attempts);
    if (command === "repeat") return this.#readStep();
    const isInPart = this.#current !== this.#whole && !isConfirmationOpen();
    const ownProblem = isInPart ? this.#finishPart(command) : null;
    if (ownProblem !== null) return this.#ask(ownProblem, turn, attempts);
    if (isInPart && this.#move(command === "back" ? -1 : 1)) return this.#readStep();
    if (isInPart && command === "skip") command = "next"; // of the last part
    this.#actions[command]();
    const problem = byId("problem").textContent;
    if (problem && turn === this.#turn) await this.#ask(problem, turn, attempts);
    else if (command === "change") await this.#listen(turn, attempts);
  }

  /**
   * Leave a field of a page or a row of a grid.
   *
   * @param {VoiceCommand} command
   * @returns {string | null} why it can't be left
   */
  #finishPart(command) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    if (command === "back") return null;
    if (command !== "skip") return control.problem();
    if (step.required !== false) return text("script.answer_needed");
    control.show(null);
    this.#actions.changed();
    return null;
  }

  /**
   * Go to another field or row; return false if there is none.
   *
   * @param {1 | -1} direction
   */
  #move(direction) {
    const place = this.#place + direction;
    if (this.#whole?.control.parts?.()[place] === undefined) return false;
    this.#place = place;
    return true;
  }

  /**
   * Say why the survey does not continue, and listen again. The step stays as it is.
   *
   * @param {string} reason
   * @param {number} turn
   * @param {number} attempts
   */
  async #ask(reason, turn, attempts) {
    this.#note(text("script.audio.by_hand", { reason, button: labelOf("voice-answer") }));
    await this.#voice.speak(reason);
    if (turn === this.#turn && attempts > 0) await this.#listen(turn, attempts, `${reason} `);
  }

  /** @param {string} transcript that is not understood, or can be meant in several ways */
  #misunderstanding(transcript) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    const value = control.value();
    if (value === null) return text("script.audio.misunderstood", { transcript });
    return text("script.audio.misunderstood_answered", { transcript, answer: formatAnswer(step, value) });
  }

  /** @param {string} note */
  #note(note) {
    byId("voice-note").textContent = note;
  }
}

function isConfirmationOpen() {
  return !byId("confirm").hidden;
}

/** @param {string} id of a button, which a note names */
function labelOf(id) {
  return (byId(id).textContent ?? "").trim();
}

/** Return what a participant may say for each command. */
function commandNames() {
  const commands = [...VOICE_COMMANDS, ...CONFIRMATION_COMMANDS];
  return Object.fromEntries(commands.map((command) => [command, phrases(`voice.${command}`)[0] ?? ""]));
}

/**
 * Interpret a transcript as a command, unless an option has that label, or as an answer to the step.
 *
 * @param {Step} step
 * @param {string} transcript
 * @param {boolean} [isConfirming] whether the page asks if the answer is right
 * @returns {{command: VoiceCommand} | {value: Json} | null} null: neither
 */
export function interpret(step, transcript, isConfirming = false) {
  const type = stepType(step);
  const speech = normalize(transcript);
  const isOption = type?.spokenOptions?.(step).some((option) => normalize(option.label) === speech) ?? false;
  const commands = isConfirming ? CONFIRMATION_COMMANDS : VOICE_COMMANDS;
  const command = commands.find((name) => isPhrase(`voice.${name}`, speech));
  if (command !== undefined && (isConfirming || !isOption)) return { command };
  const value = type?.parseSpeech(step, transcript) ?? null;
  return value === null ? null : { value };
}

/**
 * Return what is spoken for a step: its prompt, then its options unless the survey's `audio` text names all of them.
 *
 * @param {Step} step
 */
function spokenPrompt(step) {
  const prompt = step.audio || [step.prompt, step.help].filter(Boolean).join(" ");
  const options = stepType(step)?.spokenOptions?.(step) ?? [];
  const hint = stepType(step)?.spokenHint?.(step) ?? "";
  const isComplete = Boolean(step.audio) && options.every(({ label }) => prompt.toLowerCase().includes(label.toLowerCase()));
  if (options.length === 0 || isComplete) return [prompt, hint].filter(Boolean).join(" ");
  const spoken = options.map((option) => option.audio || option.label);
  const last = spoken[spoken.length - 1];
  return text("script.audio.options", { prompt, options: spoken.slice(0, -1).join(". "), last });
}
