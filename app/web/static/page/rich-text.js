// @ts-check
/**
 * Texts with emphasis, lists and links. The server sends HTML of few elements; the page inserts what it knows, element by
 * element, so that other HTML stays text whatever sends it.
 */

import { make } from "../dom.js";

const INLINE = new Set(["EM", "STRONG", "BR", "A"]);
const BLOCKS = new Set(["P", "UL", "OL", "LI"]);
const LINK = /^(https?|mailto):/i;

/**
 * @param {string | undefined} html
 * @param {string} text the plain form, where there is no HTML
 * @returns {Node[]} inline elements and text
 */
export function inlineNodes(html, text) {
  return html === undefined ? [document.createTextNode(text)] : copies(parse(html), INLINE);
}

/**
 * @param {string | undefined} html
 * @param {string} text the plain form, where there is no HTML
 * @returns {Node[]} paragraphs and lists
 */
export function blockNodes(html, text) {
  return html === undefined ? [make("p", {}, text)] : copies(parse(html), new Set([...INLINE, ...BLOCKS]));
}

/**
 * Divide a text into its first paragraph, which can be a heading, and what follows.
 *
 * @param {string | undefined} html
 * @param {string} text the plain form
 * @returns {{first: Node[], rest: Node[]}} inline nodes, and blocks
 */
export function divideText(html, text) {
  const [first, ...rest] = html === undefined ? [] : blockNodes(html, text);
  if (!(first instanceof HTMLParagraphElement)) return { first: inlineNodes(undefined, text), rest: [] };
  return { first: [...first.childNodes], rest: rest.filter((node) => node instanceof Element) };
}

/** @param {string} html */
function parse(html) {
  return new DOMParser().parseFromString(html, "text/html").body; // inert: it runs no script and loads nothing
}

/**
 * Copy the known elements with their known attributes; of others, the text.
 *
 * @param {Node} parent
 * @param {Set<string>} allowed
 * @returns {Node[]}
 */
function copies(parent, allowed) {
  return [...parent.childNodes].flatMap((node) => {
    if (node instanceof Text) return [document.createTextNode(node.data)];
    if (!(node instanceof HTMLElement)) return [];
    const children = copies(node, allowed);
    if (!allowed.has(node.tagName)) return isHidden(node) ? [] : children;
    return [make(/** @type {"p"} */ (node.localName), attributesOf(node), ...children)];
  });
}

/** @param {HTMLElement} element */
function isHidden(element) {
  return ["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "NOSCRIPT"].includes(element.tagName);
}

/** @param {HTMLElement} element */
function attributesOf(element) {
  if (element instanceof HTMLOListElement) return { start: element.start === 1 ? null : element.start };
  const href = element.getAttribute("href") ?? "";
  return element.tagName === "A" && LINK.test(href) ? { href, target: "_blank", rel: "noopener noreferrer" } : {};
}
