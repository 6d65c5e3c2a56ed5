// @ts-check
/** Shared parsing of speech: normalized text, and numbers in English words or digits. */

const UNITS = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen " +
  "seventeen eighteen nineteen"
).split(" ");
const TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split(" ");

/**
 * Lower the case, drop punctuation except decimal marks, and collapse white space.
 *
 * @param {string} text
 */
export function normalize(text) {
  return text.toLowerCase().replace(/[.,](?!\d)|[!?;:"]/g, " ").replace(/\s+/g, " ").trim();
}

/**
 * @param {string} speech normalized
 * @returns {number | null} e.g. 72.5 for "72.5 kilograms", 21 for "twenty one"
 */
export function parseSpokenNumber(speech) {
  const digits = speech.match(/-?\d+([.,]\d+)?/);
  if (digits) return Number(digits[0].replace(",", "."));
  let total = 0;
  let isFound = false;
  for (const word of speech.split(/[ -]/)) {
    const unit = UNITS.indexOf(word);
    const ten = TENS.indexOf(word);
    if (unit < 0 && ten < 2 && word !== "hundred") continue;
    total = word === "hundred" ? (total || 1) * 100 : total + (unit >= 0 ? unit : ten * 10);
    isFound = true;
  }
  return isFound ? total : null;
}
