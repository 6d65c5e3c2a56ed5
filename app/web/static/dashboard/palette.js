// @ts-check
/** The colours of charts, as the style sheet has them for light and dark. */

/**
 * @typedef {object} Palette
 * @property {string} ink
 * @property {string} soft
 * @property {string} line
 * @property {string} card
 * @property {string} first of a chart's first series
 * @property {string} second
 * @property {string} font
 */

const DARK = matchMedia("(prefers-color-scheme: dark)");
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** @returns {Palette} */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const named = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: named("ink"),
    soft: named("soft"),
    line: named("line"),
    card: named("card"),
    first: named("first-series"),
    second: named("second-series"),
    font: getComputedStyle(document.body).fontFamily,
  };
}

/** Whether nothing may move. */
export function isCalm() {
  return CALM.matches;
}

/** @param {() => void} call is called when light and dark change */
export function onNewPalette(call) {
  DARK.addEventListener("change", call);
}
