// @ts-check
/**
 * The page's own texts in the participant's language. The template embeds those of the language in which it is shown; the
 * server has the others at an address that browsers may keep for good.
 *
 *     text("script.position", { number: 3, total: 9 }) // "Step 3 of 9"
 */

import { byId } from "../dom.js";
import { surveyLanguage } from "./language.js";

/**
 * @typedef {{[key: string]: string | string[] | Texts}} Texts a text, its plural forms by category, or phrases
 *
 * @typedef {object} PageTexts
 * @property {string} language BCP 47
 * @property {"ltr" | "rtl"} direction
 * @property {Texts} texts
 */

/** @type {Texts | null} */
let texts = null;

/** The language that was asked for last. */
let wanted = "";

/**
 * Return a text with its values. `{name}` stands for a value; numbers are formatted in the page's language. Of a text with
 * plural forms, `values.count` chooses one.
 *
 * @param {string} key dotted
 * @param {Record<string, string | number>} [values]
 * @returns {string} the key if there is no such text
 */
export function text(key, values = {}) {
  const found = lookUp(key);
  const template = typeof found === "object" && !Array.isArray(found) ? pluralForm(found, Number(values.count)) : found;
  if (typeof template !== "string") return key;
  return template.replace(/\{(\w+)\}/g, (placeholder, name) => {
    const value = values[name] ?? placeholder;
    return typeof value === "number" ? formatNumber(value) : value;
  });
}

/**
 * Return the phrases that are understood for a key.
 *
 * @param {string} key dotted
 * @returns {string[]}
 */
export function phrases(key) {
  const found = lookUp(key);
  return Array.isArray(found) ? found : [];
}

/**
 * Whether there is such a text.
 *
 * @param {string} key dotted
 */
export function hasText(key) {
  return lookUp(key) !== undefined;
}

/**
 * Describe why the client can't send an answer.
 *
 * @param {string} problem
 * @param {Record<string, string | number>} values
 */
export function describe(problem, values) {
  return text(`script.unsendable.${problem}`, values);
}

/** @param {number} value */
export function formatNumber(value) {
  return new Intl.NumberFormat(surveyLanguage(), { maximumFractionDigits: 20 }).format(value);
}

/**
 * Show the page in another language: its direction, its own texts, and what `Intl` formats from now on. The caller shows
 * the survey's texts.
 *
 * @param {string} language BCP 47
 * @returns {Promise<boolean>} false if the texts can't be loaded: the page stays as it is
 */
export async function changeLanguage(language) {
  wanted = language;
  try {
    const response = await fetch(`${byId("texts").dataset.url}/${encodeURIComponent(language)}.json`);
    if (!response.ok) return false;
    const received = await response.json();
    if (language === wanted) useTexts(received); // else another was asked for meanwhile
    return true;
  } catch (error) {
    console.warn("stepkeep: the page's texts can't be loaded", error);
    return false;
  }
}

/** @param {PageTexts} received */
export function useTexts(received) {
  texts = received.texts;
  document.documentElement.lang = received.language;
  document.documentElement.dir = received.direction;
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-text]"))) {
    element.textContent = text(element.dataset.text ?? "");
  }
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-label]"))) {
    element.setAttribute("aria-label", text(element.dataset.label ?? ""));
  }
}

/** @param {string} key dotted */
function lookUp(key) {
  texts ??= embeddedTexts();
  /** @type {string | string[] | Texts | undefined} */
  let found = texts;
  for (const name of key.split(".")) {
    if (typeof found !== "object" || Array.isArray(found) || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return found;
}

/** @returns {Texts} none on pages without texts */
function embeddedTexts() {
  return JSON.parse(document.getElementById("texts")?.textContent ?? "{}").texts ?? {};
}

/**
 * @param {Texts} forms by category of `Intl.PluralRules`; all have "other"
 * @param {number} count
 */
function pluralForm(forms, count) {
  return forms[new Intl.PluralRules(surveyLanguage()).select(count)] ?? forms.other;
}
