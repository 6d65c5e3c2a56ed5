// @ts-check
/**
 * Regular expressions of conditions, as far as RE2, which the server has, and this browser surely agree on them, and the
 * browser, which tries all ways, needs no long time.
 */

const PIECE =
  /[\^$|)]|\(\?:|\((?!\?)|\\[dDwWs]|\\[^\p{L}\p{N}\s]|\[\^?(?:\\[dw]|\\[^\p{L}\p{N}\s]|[^\\[\]])+\]|[*+?]\??|\{\d+(?:,\d*)?\}\??|[^\\[\](){}*+?|^$]/uy;
const QUANTIFIER = /^(?:[*+?]|\{\d)/;
const MAX_UNBOUNDED = 2;
const MAX_TEXT = 300; // characters

/**
 * @param {string} pattern
 * @returns {((text: string) => boolean | null) | null} null: only the server knows
 */
export function createMatcher(pattern) {
  const pieces = [];
  for (PIECE.lastIndex = 0; PIECE.lastIndex < pattern.length; ) {
    const piece = PIECE.exec(pattern)?.[0];
    if (piece === undefined || (QUANTIFIER.test(piece) && pieces.at(-1) === ")")) return null; // of a group
    pieces.push(translated(piece));
  }
  if (pieces.filter((piece) => /^[*+]|^\{\d+,\}/.test(piece)).length > MAX_UNBOUNDED) return null;
  try {
    const expression = new RegExp(pieces.join(""), "u");
    return (text) => (text.length > MAX_TEXT ? null : expression.test(text));
  } catch {
    return null;
  }
}

/** @param {string} piece */
function translated(piece) {
  if (piece === ".") return "[^\\n]";
  if (piece === "\\s") return "[\\t\\n\\f\\r ]";
  return /^\\[^\w^$\\.*+?()[\]{}|/]$/.test(piece) ? piece.slice(1) : piece; // needs no escape
}
