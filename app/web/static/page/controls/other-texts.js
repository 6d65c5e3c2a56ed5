// @ts-check
/** The texts that participants write beside options. */

import { make } from "../../dom.js";
import { text } from "../texts.js";

const MAX_LENGTH = 1000; // code points, as the server's

/**
 * @typedef {import("./index.js").Json} Json
 */

/**
 * Return the value of an option in an answer, without its text.
 *
 * @param {Json} item
 * @returns {any}
 */
export function valueOf(item) {
  return item !== null && typeof item === "object" && !Array.isArray(item) && "value" in item ? item.value : item;
}

/**
 * @param {Json} item of an answer
 * @returns {string}
 */
export function textOf(item) {
  return valueOf(item) !== item && typeof /** @type {any} */ (item).text === "string" ? /** @type {any} */ (item).text : "";
}

export class OtherTexts {
  /** @type {Map<Json, {row: HTMLElement, input: HTMLInputElement}>} */
  #fields = new Map();

  /** @param {{value: Json, label: string, other?: boolean}[]} options */
  constructor(options) {
    for (const [n, option] of options.entries()) if (option.other) this.#fields.set(option.value, createField(option.label, n));
  }

  /**
   * Return the row with an option's field, if it takes a text.
   *
   * @param {Json} value
   */
  row(value) {
    return this.#fields.get(value)?.row;
  }

  get rows() {
    return [...this.#fields.values()].map(({ row }) => row);
  }

  /**
   * Show the fields of the chosen options.
   *
   * @param {Json[]} chosen values
   */
  update(chosen) {
    for (const [value, { row }] of this.#fields) row.hidden = !chosen.includes(value);
  }

  /**
   * Return the answer for a chosen option.
   *
   * @param {Json} value
   * @returns {Json}
   */
  answer(value) {
    const field = this.#fields.get(value);
    return field === undefined ? value : { value, text: field.input.value.trim() };
  }

  /** @param {Json[]} items of an answer */
  show(items) {
    for (const [value, { input }] of this.#fields) {
      const shown = textOf(items.find((item) => valueOf(item) === value) ?? null);
      if (input.value.trim() !== shown) input.value = shown; // else what is being written stays
    }
    this.update(items.map(valueOf));
  }

  /** @param {Json[]} chosen values */
  problem(chosen) {
    const written = chosen.map((value) => this.#fields.get(value)?.input.value.trim() ?? "");
    const excess = Math.max(0, ...written.map((one) => [...one].length - MAX_LENGTH));
    return excess > 0 ? text("controls.text.too_many", { count: excess }) : null;
  }
}

/**
 * @param {string} label of the option
 * @param {number} n
 */
function createField(label, n) {
  const input = make("input", { id: `other-${n}`, type: "text", class: "field", autocomplete: "off", "aria-describedby": "problem" });
  const row = make("div", { class: "other", hidden: true }, make("label", { for: input.id }, text("controls.other.label", { label })), input);
  return { row, input };
}
