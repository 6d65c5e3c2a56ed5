// @ts-check
/** Numbers as people write them: in digits of any script, with the grouping and the decimal separators of any language. */

const CHARACTERS = new Map(Object.entries({ "−": "-", "–": "-", "－": "-", "＋": "+", "،": ",", "，": ",", "．": ".", "’": "'" }));
const GROUPED = /^(?<whole>[1-9]\d{0,2}([.,' ٬])\d{3}(?:\2\d{3})*)(?:(?!\2)[.,٫](?<decimals>\d+))?$/;
const GROUPED_IN_INDIA = /^(?<whole>[1-9]\d?,(?:\d\d,)+\d{3})(?:\.(?<decimals>\d+))?$/;
const PLAIN = /^(?=.*\d$)(?<whole>\d*)(?:[.,٫](?<decimals>\d+))?$/;

const MAX_INTEGER = 2n ** 53n; // as the server's
const EXACT_DIGITS = 15; // a double holds every decimal number of up to 15 significant digits

/**
 * Return what an input can mean, each as digits with a decimal point: none if it is not a number. There are two if its
 * separator may group or start the decimals, as in 1,234, and the languages do not decide.
 *
 * @param {string} input
 * @param {string[]} languages that the person may write numbers in
 * @param {boolean} isWhole whether a separator can only group
 */
export function readings(input, languages, isWhole) {
  const [, sign, digits] = /** @type {RegExpMatchArray} */ (canonical(input).match(/^([+-]?)(.*)$/s));
  const grouped = join(digits.match(GROUPED) ?? digits.match(GROUPED_IN_INDIA));
  const plain = join(digits.match(PLAIN));
  const both = [grouped, plain].filter((text) => text !== null && !(isWhole && text.includes(".")));
  const use = both.length === 2 ? agreedUse(languages, digits.replace(/\d/g, "")) : null;
  const isDecimal = use === "decimal" && !digits.endsWith("0"); // 1.500 for 1.5 is rare; for 1500, where a point groups, it is not
  const meant = use === "group" ? [grouped] : isDecimal ? [plain] : both;
  return meant.map((text) => `${sign.replace("+", "")}${text}`);
}

/**
 * Return the number, or null if a double cannot hold it without rounding.
 *
 * @param {string} text of `readings`
 */
export function exactNumber(text) {
  const significant = text.replace(/[-.]/g, "").replace(/^0+|0+$/g, "");
  const isExact = text.includes(".") ? significant.length <= EXACT_DIGITS : BigInt(text.replace("-", "")) <= MAX_INTEGER;
  return isExact ? Number(text) : null;
}

/**
 * Format a number in digits, without grouping, so that it can be read in one way only.
 *
 * @param {number} value
 * @param {string} language
 * @param {number} [minimumFractionDigits]
 */
export function formatNumber(value, language, minimumFractionDigits = 0) {
  const options = { useGrouping: false, minimumFractionDigits, maximumFractionDigits: 20 };
  return new Intl.NumberFormat(language, options).format(value);
}

/**
 * Replace decimal digits of any script by 0 to 9.
 *
 * @param {string} text
 */
export function asciiDigits(text) {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const code = /** @type {number} */ (digit.codePointAt(0));
    let first = code;
    while (/\p{Nd}/u.test(String.fromCodePoint(first - 1))) first -= 1;
    return String((code - first) % 10); // scripts have their ten digits in a row, and a few styles follow each other
  });
}

/**
 * Use one character for each sign, separator and digit, and drop invisible marks.
 *
 * @param {string} input
 */
function canonical(input) {
  const visible = asciiDigits(input.replace(/\p{Cf}/gu, "").trim()).replace(/\s/g, " ");
  return Array.from(visible, (character) => CHARACTERS.get(character) ?? character).join("");
}

/** @param {RegExpMatchArray | null} match */
function join(match) {
  if (match === null) return null;
  const { whole, decimals } = /** @type {Record<string, string | undefined>} */ (match.groups);
  return (whole?.replace(/\D/g, "") || "0") + (decimals === undefined ? "" : `.${decimals}`);
}

/**
 * Return what a separator does in all of the languages; null if they differ or do not use it.
 *
 * @param {string[]} languages
 * @param {string} separator
 */
function agreedUse(languages, separator) {
  const uses = new Set(languages.map((language) => useIn(language, separator)));
  return uses.size === 1 ? [...uses][0] : null;
}

/**
 * @param {string} language
 * @param {string} separator
 */
function useIn(language, separator) {
  const parts = new Intl.NumberFormat(language).formatToParts(1_234_567.5);
  const part = parts.find(({ type, value }) => (type === "group" || type === "decimal") && canonical(value) === separator);
  return part?.type ?? null;
}
