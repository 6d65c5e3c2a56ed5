// @ts-check
/** Shared by all step types: the heading with the question, and what is shown below it. */

import { byId, make } from "../../dom.js";
import { blockNodes, divideText } from "../rich-text.js";

/**
 * @typedef {import("./index.js").Step} Step
 * @typedef {NonNullable<Step["image"]>} Image
 *
 * @typedef {object} Prompt
 * @property {HTMLHeadingElement} heading with the prompt, or its first paragraph
 * @property {HTMLElement[]} below the prompt's other paragraphs, the help and the image, in this order
 * @property {string[]} descriptions the ids of the texts among these, for `aria-describedby`
 */

/**
 * @param {Step} step
 * @param {string} [fieldId] the field that the heading labels
 * @returns {Prompt}
 */
export function createPrompt(step, fieldId) {
  const { first, rest } = divideText(step.html?.prompt, step.prompt);
  const content = fieldId === undefined ? first : [make("label", { for: fieldId }, ...first)];
  const heading = make("h2", { id: "prompt", tabindex: -1 }, ...content);
  const texts = [
    ...(rest.length > 0 ? [make("div", { id: "prompt-rest", class: "prose" }, ...rest)] : []),
    ...(step.help ? [make("div", { id: "help", class: "prose help" }, ...blockNodes(step.html?.help, step.help))] : []),
  ];
  const images = step.image ? [createImage(step.image)] : [];
  return { heading, below: [...texts, ...images], descriptions: texts.map(({ id }) => id) };
}

/** @param {Image} image */
export function createImage({ file, alt }) {
  const root = new URL(byId("survey").dataset.origin ?? "/", location.href);
  return make("img", { class: "image", src: new URL(`media/${file}`, root).href, alt });
}
