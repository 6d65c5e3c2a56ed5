// @ts-check
/** Which labels what is typed finds, and a field that finds options in a list of checkboxes. */

import { make } from "../../dom.js";
import { text } from "../texts.js";

/**
 * Return a function that tells whether every typed word begins a word of an option's label, whatever the case and the
 * accents. An option that takes a text is always found: it is for those who find no other.
 *
 * @param {string} typed
 * @returns {(option: {label: string, other?: boolean}) => boolean}
 */
export function matcher(typed) {
  const starts = wordsOf(typed);
  return ({ label, other }) => {
    const plain = ` ${wordsOf(label).join(" ")}`;
    return other || starts.every((start) => plain.includes(` ${start}`) || (/\p{Lo}/u.test(start) && plain.includes(start)));
  };
}

/** @param {string} written in any script; some, as Chinese, have no spaces between words */
function wordsOf(written) {
  return written.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
}

/**
 * Create a field that hides the rows of options without what is typed, unless they are chosen.
 *
 * @param {{label: string, other?: boolean}[]} options
 * @param {HTMLInputElement[]} inputs one for each option
 */
export function createSearch(options, inputs) {
  const field = make("input", { id: "search", type: "search", class: "field", autocomplete: "off", spellcheck: "false" });
  const found = make("p", { class: "hint", role: "status" });
  field.addEventListener("input", (event) => {
    event.stopPropagation(); // it is no answer
    const matches = matcher(field.value);
    const isFound = options.map(matches);
    for (const [n, input] of inputs.entries()) /** @type {HTMLElement} */ (input.parentElement).hidden = !isFound[n] && !input.checked;
    found.textContent = field.value.trim() === "" ? "" : text("controls.search.found", { count: isFound.filter(Boolean).length });
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault(); // it would send the answer
  });
  return make("div", { class: "search" }, make("label", { for: field.id }, text("controls.search.label")), field, found);
}
