// @ts-check
/** Step type `ranking`: all options, which buttons and arrow keys move up and down. */

import { make } from "../../dom.js";
import { inlineNodes } from "../rich-text.js";
import { text } from "../texts.js";
import { formatOptions, joined, optionsByName } from "./options.js";
import { createImage, createPrompt } from "./prompt.js";
import { and, normalize } from "./speech.js";

/**
 * @typedef {import("./index.js").Step} Step
 * @typedef {NonNullable<Step["options"]>[number]} Option
 */

/** @type {import("./index.js").StepType} */
export const ranking = {
  takesAnswer: true,
  createControl,
  formatAnswer: (step, value) => (Array.isArray(value) ? joined(value.map((item, n) => ranked(step, item, n))) : null),
  parseSpeech: parseRanking,
  spokenOptions: (step) => step.options ?? [],
};

/**
 * @param {Step} step
 * @param {import("./index.js").Json} item
 * @param {number} n
 */
function ranked(step, item, n) {
  return text("controls.ranking.ranked", { place: n + 1, label: formatOptions(step, item) ?? String(item) });
}

/**
 * @param {Step} step
 * @returns {import("./index.js").StepControl}
 */
function createControl(step) {
  const options = step.options ?? [];
  const list = make("ol", { class: "ranking" });
  const moved = make("p", { class: "visually-hidden", role: "status" });
  const keep = make("button", { type: "button", class: "secondary", "aria-describedby": "problem" }, text("controls.ranking.keep"));
  const unranked = make("div", { class: "actions" }, keep);
  const rows = new Map(options.map((option) => [option, createRow(option, (delta) => move(option, delta))]));
  const { heading, below, descriptions } = createPrompt(step);
  const element = make(
    "fieldset",
    { "aria-describedby": [...descriptions, "hint"].join(" ") },
    make("legend", {}, heading),
    ...below,
    make("p", { id: "hint", class: "hint" }, text("controls.ranking.hint")),
    list,
    moved,
    unranked,
  );
  let order = [...options];
  let isRanked = false;
  const values = () => order.map((option) => option.value);

  const draw = () => {
    list.classList.toggle("unranked", !isRanked);
    unranked.hidden = isRanked;
    for (const [n, option] of order.entries()) rows.get(option)?.place(n, order.length);
    list.replaceChildren(...order.map((option) => /** @type {Row} */ (rows.get(option)).element));
  };
  const change = (/** @type {Option[]} */ changed) => {
    order = changed;
    isRanked = true;
    draw();
    element.dispatchEvent(new Event("input", { bubbles: true }));
  };
  /** @param {Option} option @param {number} delta */
  function move(option, delta) {
    const from = order.indexOf(option);
    const to = from + delta;
    if (to < 0 || to >= order.length) return;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const changed = order.filter((one) => one !== option);
    changed.splice(to, 0, option);
    change(changed);
    focused?.focus(); // lost while the row is inserted at its new place
    moved.textContent = text("controls.ranking.moved", { label: option.label, place: to + 1, count: order.length });
  }
  keep.addEventListener("click", () => {
    change(order);
    heading.focus();
    moved.textContent = text("controls.ranking.kept");
  });
  draw();
  return {
    element,
    heading,
    field: /** @type {HTMLElement | null} */ (list.querySelector("button")) ?? heading,
    validated: [],
    draft: () => (isRanked ? values() : null),
    value: () => (isRanked ? values() : null),
    show: (value) => {
      const shown = Array.isArray(value) ? value : [];
      const ranked = options.filter((option) => shown.includes(option.value));
      ranked.sort((a, b) => shown.indexOf(a.value) - shown.indexOf(b.value));
      isRanked = ranked.length > 0;
      order = [...ranked, ...options.filter((option) => !ranked.includes(option))];
      draw();
    },
    problem: () => (isRanked || !step.required ? null : text("controls.ranking.needed")),
  };
}

/**
 * @typedef {object} Row
 * @property {HTMLElement} element
 * @property {(n: number, count: number) => void} place
 *
 * @param {Option} option
 * @param {(delta: number) => void} move
 * @returns {Row}
 */
function createRow(option, move) {
  const number = make("span", { class: "place", "aria-hidden": "true" });
  const images = option.image ? [createImage(option.image)] : [];
  const label = make("span", { class: "label" }, ...images, ...inlineNodes(option.html?.label, option.label));
  const [up, down] = /** @type {const} */ (["up", "down"]).map((name) => {
    const label = text(`controls.ranking.${name}`, { label: option.label });
    return make("button", { type: "button", class: "tool", "aria-label": label, "aria-describedby": "problem" }, name === "up" ? "↑" : "↓");
  });
  up.addEventListener("click", () => move(-1));
  down.addEventListener("click", () => move(1));
  const element = make("li", { "data-value": JSON.stringify(option.value) }, number, label, up, down);
  element.addEventListener("keydown", (event) => {
    const delta = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (delta === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // it would scroll
    move(delta);
  });
  return {
    element,
    place: (n, count) => {
      number.textContent = text("controls.ranking.place", { place: n + 1 });
      up.setAttribute("aria-disabled", String(n === 0));
      down.setAttribute("aria-disabled", String(n === count - 1));
    },
  };
}

/**
 * Find the one order in which a transcript names each option once.
 *
 * @param {Step} step
 * @param {string} transcript
 */
function parseRanking(step, transcript) {
  const options = step.options ?? [];
  const named = optionsByName(options);
  const words = normalize(transcript).split(" ");
  const { connector, isPrefix } = and();
  /** @type {Option[][]} */
  const orders = [];
  /** @param {number} start @param {Option[]} before */
  const follow = (start, before) => {
    if (start === words.length && before.length === options.length) orders.push(before);
    for (let end = start + 1; end <= words.length && orders.length < 2; end += 1) {
      const ends = words[end] === connector && end + 1 < words.length ? [end, end + 1] : [end];
      const name = words.slice(start, end).join(" ");
      const names = [name, ...(isPrefix && start > 0 && name.startsWith(connector) ? [name.slice(connector.length)] : [])];
      for (const option of names.flatMap((one) => named.get(one) ?? [])) {
        if (before.includes(option)) continue;
        for (const next of ends) follow(next, [...before, option]);
      }
    }
  };
  follow(0, []);
  return orders.length === 1 ? orders[0].map((option) => option.value) : null;
}
