// @ts-check
/**
 * Audio mode: each step is spoken, the answer is heard, filled in and said back, and the participant
 * confirms it by voice or by hand. Nothing is sent that wasn't confirmed.
 */

import { inWords } from "./answer-list.js";
import { byId } from "../dom.js";
import { understand } from "./controls/speech.js";
import { Voice } from "./voice.js";

/**
 * @typedef {import("../client/protocol.js").Step} Step
 * @typedef {import("./controls/index.js").StepControl} StepControl
 *
 * @typedef {object} Actions
 * @property {() => void} next
 * @property {() => void} back
 * @property {() => void} skip
 * @property {() => void} filled the control holds another answer now
 */

/** @type {Record<string, string>} why listening failed, by Web Speech's error code */
const DEAF = {
  "not-allowed": "The microphone is not allowed for this page. You can answer by hand.",
  "service-not-allowed": "Speech recognition is not available in this browser. You can answer by hand.",
  "audio-capture": "No microphone was found. You can answer by hand.",
  network: "Speech recognition can't be reached just now. You can answer by hand.",
};

export class VoiceWalk {
  #isOn = false;
  /** @type {{step: Step, control: StepControl} | null} */
  #current = null;
  #turn = 0; // each new turn makes what an earlier one still waits for void
  #voice;
  #actions;

  /**
   * @param {string} language
   * @param {Actions} actions
   */
  constructor(language, actions) {
    this.#voice = new Voice(language);
    this.#actions = actions;
    byId("voice-again").addEventListener("click", () => void this.#begin());
    byId("voice-answer").addEventListener("click", () => void this.#hear(this.#newTurn()));
    byId("voice-answer").hidden = !this.#voice.canListen;
    document.addEventListener("visibilitychange", () => document.hidden && this.#newTurn());
  }

  /** @param {boolean} isOn */
  setMode(isOn) {
    if (isOn === this.#isOn) return;
    this.#isOn = isOn;
    byId("voice").hidden = !isOn;
    if (isOn) void this.#begin();
    else this.#newTurn();
  }

  /**
   * @param {Step} step
   * @param {StepControl} control
   */
  showStep(step, control) {
    this.#current = { step, control };
    if (this.#isOn) void this.#begin();
  }

  leave() {
    this.#current = null;
    this.#newTurn();
  }

  #newTurn() {
    this.#voice.stop();
    this.#turn += 1;
    return this.#turn;
  }

  async #begin() {
    const turn = this.#newTurn();
    if (this.#current === null || document.hidden) return;
    if (!this.#voice.canSpeak) return this.#note("This browser can't read aloud. You can read and answer by hand.");
    this.#note("Reading aloud…");
    const outcome = await this.#voice.speak(toSay(this.#current.step));
    if (turn !== this.#turn) return;
    if (outcome === "blocked") return this.#note("Press “Read again” to hear the question.");
    if (outcome === "silent") return this.#note("This browser has no voice to read aloud with. You can read and answer by hand.");
    await this.#hear(turn);
  }

  /** @param {number} turn */
  async #hear(turn) {
    if (!this.#voice.canListen) return this.#note(DEAF["service-not-allowed"]);
    this.#note("Listening… Say your answer, or “next”, “back” or “repeat”.");
    const result = await this.#voice.listen();
    if (turn !== this.#turn || this.#current === null) return;
    if ("failed" in result) return this.#note(DEAF[result.failed] ?? "Nothing was heard. Press “Answer by voice” to try again.");
    await this.#take(result.heard, turn);
  }

  /**
   * @param {string} heard
   * @param {number} turn
   */
  async #take(heard, turn) {
    const { step, control } = /** @type {{step: Step, control: StepControl}} */ (this.#current);
    const understood = understand(step, heard);
    if (understood === null) return this.#note(`We heard “${heard}”, which does not fit. Press “Answer by voice” to try again.`);
    if ("steer" in understood) return understood.steer === "repeat" ? this.#begin() : this.#actions[understood.steer]();
    control.show(understood.value);
    this.#actions.filled();
    const words = inWords(step, understood.value);
    this.#note(`We understood: ${words}. Say “next” to go on, or answer again.`);
    await this.#voice.speak(`${words}. Say next to go on, or answer again.`);
    if (turn === this.#turn) await this.#hear(turn);
  }

  /** @param {string} text */
  #note(text) {
    byId("voice-note").textContent = text;
  }
}

/**
 * What is spoken for a step. An `audio` text may name the options itself; else they follow it.
 *
 * @param {Step} step
 * @returns {string}
 */
export function toSay(step) {
  const question = step.audio || step.prompt;
  const isYesNo = step.type === "boolean";
  const options = isYesNo ? ["Yes", "No"] : (step.options ?? []).map((option) => option.audio || option.label);
  const spoken = question.toLowerCase();
  const labels = isYesNo ? options : (step.options ?? []).map((option) => option.label);
  const areNamed = Boolean(step.audio) && labels.every((label) => spoken.includes(label.toLowerCase()));
  const range = step.type === "scale" ? scaleInWords(step) : "";
  if (options.length === 0 || areNamed) return [question, range].filter(Boolean).join(" ");
  return `${question} ${options.slice(0, -1).join(". ")}. Or: ${options[options.length - 1]}.`;
}

/** @param {Step} step */
function scaleInWords(step) {
  const low = step.min_label ? `${step.min}, ${step.min_label},` : String(step.min);
  const high = step.max_label ? `${step.max}, ${step.max_label}` : String(step.max);
  return `From ${low} to ${high}.`;
}
