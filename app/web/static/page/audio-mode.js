// @ts-check
/**
 * Audio mode: reads each step aloud, listens, fills in the answer and reads it back.
 *
 * An answer is sent only after the participant has confirmed it, by voice or by hand.
 */

import { byId } from "../dom.js";
import { formatAnswer, stepType } from "./controls/index.js";
import { normalize } from "./controls/speech.js";
import { Voice } from "./voice.js";

/**
 * @typedef {import("../client/protocol.js").Json} Json
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./controls/index.js").StepControl} StepControl
 * @typedef {"next" | "back" | "repeat" | "skip"} VoiceCommand
 *
 * @typedef {object} Actions
 * @property {() => void} next
 * @property {() => void} back
 * @property {() => void} skip
 * @property {() => void} changed the control has another answer
 */

/** @type {Record<VoiceCommand, string[]>} */
const PHRASES = {
  next: ["next", "continue", "go on", "ok", "okay"],
  back: ["back", "go back", "previous"],
  repeat: ["repeat", "again", "say again", "say that again"],
  skip: ["skip", "skip this"],
};
const VOICE_COMMANDS = /** @type {[VoiceCommand, string[]][]} */ (Object.entries(PHRASES));

const CANNOT_LISTEN = "Speech recognition is not available in this browser. You can answer by hand.";

/** By error code of the Web Speech API. */
const LISTEN_ERRORS = new Map([
  ["not-allowed", "The microphone is not allowed for this page. You can answer by hand."],
  ["service-not-allowed", CANNOT_LISTEN],
  ["audio-capture", "No microphone was found. You can answer by hand."],
  ["network", "Speech recognition can't be reached just now. You can answer by hand."],
]);

/** After these, listening again can't succeed until the participant changes a setting. */
const CANNOT_SUCCEED = new Set(["not-allowed", "service-not-allowed", "audio-capture"]);

const ATTEMPTS = 3; // then the page waits for a button: it may hear other people

export class AudioMode {
  #isOn = false;
  /** @type {{step: Step, control: StepControl} | null} */
  #current = null;
  /** Counts dialogue turns; one that awaits speech ends when a newer one has started. */
  #turn = 0;
  #voice;
  #actions;

  /**
   * @param {string} language
   * @param {Actions} actions
   */
  constructor(language, actions) {
    this.#voice = new Voice(language);
    this.#actions = actions;
    byId("voice-again").addEventListener("click", () => void this.#readStep());
    byId("voice-answer").addEventListener("click", () => void this.#listen(this.#startTurn()));
    document.addEventListener("visibilitychange", () => document.hidden && this.#startTurn());
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
    this.#current = { step, control };
    if (this.#isOn) void this.#readStep();
  }

  clear() {
    this.#current = null;
    this.#startTurn();
  }

  #startTurn() {
    this.#voice.stop();
    this.#turn += 1;
    return this.#turn;
  }

  async #readStep() {
    const turn = this.#startTurn();
    if (this.#current === null || document.hidden) return;
    if (!this.#voice.canSpeak) return this.#note("This browser can't read aloud. You can read and answer by hand.");
    this.#note("Reading aloud…");
    const outcome = await this.#voice.speak(spokenPrompt(this.#current.step));
    if (turn !== this.#turn) return;
    if (outcome === "blocked") return this.#note("Press “Read again” to hear the question.");
    byId("voice-again").hidden = outcome === "silent";
    if (outcome === "silent") return this.#note("This browser has no voice to read aloud with. You can read and answer by hand.");
    await this.#listen(turn);
  }

  /**
   * @param {number} turn
   * @param {number} [attempts] how often to listen until something is understood
   * @param {string} [before] shown before the request to speak
   */
  async #listen(turn, attempts = ATTEMPTS, before = "") {
    if (!this.#voice.canListen) return this.#note(CANNOT_LISTEN);
    this.#note(`${before}Listening… Say your answer, or “next”, “back” or “repeat”.`);
    const result = await this.#voice.listen();
    if (turn !== this.#turn || this.#current === null) return;
    if ("transcript" in result) return this.#process(result.transcript, turn, attempts);
    if (CANNOT_SUCCEED.has(result.error)) byId("voice-answer").hidden = true;
    this.#note(LISTEN_ERRORS.get(result.error) ?? "Nothing was heard. Press “Answer by voice” to try again.");
  }

  /**
   * @param {string} transcript
   * @param {number} turn
   * @param {number} attempts
   */
  async #process(transcript, turn, attempts) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    const input = interpret(step, transcript);
    if (input === null) return this.#ask(this.#misunderstanding(transcript), turn, attempts - 1);
    if ("command" in input) return this.#execute(input.command, turn, attempts - 1);
    control.show(input.value);
    this.#actions.changed();
    const answer = formatAnswer(step, input.value);
    this.#note(`We understood: ${answer}. Say “next” to continue, or answer again.`);
    await this.#voice.speak(`${answer}. Say next to continue, or answer again.`);
    if (turn === this.#turn) await this.#listen(turn);
  }

  /**
   * @param {VoiceCommand} command
   * @param {number} turn
   * @param {number} attempts
   */
  async #execute(command, turn, attempts) {
    if (command === "repeat") return this.#readStep();
    this.#actions[command]();
    const problem = byId("problem").textContent;
    if (problem && turn === this.#turn) await this.#ask(problem, turn, attempts);
  }

  /**
   * Say why the survey does not continue, and listen again. The step stays as it is.
   *
   * @param {string} reason
   * @param {number} turn
   * @param {number} attempts
   */
  async #ask(reason, turn, attempts) {
    this.#note(`${reason} Press “Answer by voice” to try again, or answer by hand.`);
    await this.#voice.speak(reason);
    if (turn === this.#turn && attempts > 0) await this.#listen(turn, attempts, `${reason} `);
  }

  /** @param {string} transcript that is not understood, or can be meant in several ways */
  #misunderstanding(transcript) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    const value = control.value();
    const kept = value === null ? "" : ` Your answer is still: ${formatAnswer(step, value)}.`;
    return `We heard “${transcript}”, and do not know which answer that is.${kept} Please say it in another way.`;
  }

  /** @param {string} text */
  #note(text) {
    byId("voice-note").textContent = text;
  }
}

/**
 * Interpret a transcript as a command, unless an option has that label, or as an answer to the step.
 *
 * @param {Step} step
 * @param {string} transcript
 * @returns {{command: VoiceCommand} | {value: Json} | null} null: neither
 */
export function interpret(step, transcript) {
  const type = stepType(step);
  const speech = normalize(transcript);
  const isOption = type?.spokenOptions?.(step).some((option) => normalize(option.label) === speech) ?? false;
  const [command] = VOICE_COMMANDS.find(([, phrases]) => phrases.includes(speech)) ?? [];
  if (command !== undefined && !isOption) return { command };
  const value = type?.parseSpeech(step, transcript) ?? null;
  return value === null ? null : { value };
}

/**
 * Return what is spoken for a step: its prompt, then its options unless the survey's `audio` text names all of them.
 *
 * @param {Step} step
 */
function spokenPrompt(step) {
  const prompt = step.audio || step.prompt;
  const options = stepType(step)?.spokenOptions?.(step) ?? [];
  const hint = stepType(step)?.spokenHint?.(step) ?? "";
  const isComplete = Boolean(step.audio) && options.every(({ label }) => prompt.toLowerCase().includes(label.toLowerCase()));
  if (options.length === 0 || isComplete) return [prompt, hint].filter(Boolean).join(" ");
  const spoken = options.map((option) => option.audio || option.label);
  return `${prompt} ${spoken.slice(0, -1).join(". ")}. Or: ${spoken[spoken.length - 1]}.`;
}
