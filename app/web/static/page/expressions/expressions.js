// @ts-check
/**
 * Evaluates the conditions of fields as the server does (docs/surveys.md, Conditions). The server has already put in what
 * depends on no field of the page, such as the time. Of the rest it decides alone on some regular expressions, maps that
 * are written out, bytes, types, timestamps and durations.
 */

import { NO_VALUE, fail } from "./no-value.js";
import { createMatcher } from "./patterns.js";
import {
  FUNCTIONS,
  METHODS,
  boolean,
  calculate,
  decide,
  entry,
  isAnswered,
  isMap,
  keys,
  number,
  ownText,
  plain,
  string,
} from "./values.js";

/**
 * @typedef {import("../../client/protocol.js").Json} Json
 *
 * @typedef {object} Scope
 * @property {Record<string, Json>} answers by step and field; one that is absent is null
 * @property {Record<string, Json>} parameters
 *
 * @typedef {Scope & {variables: Record<string, Json>, budget: {steps: number}}} Frame
 * @typedef {(frame: Frame) => any} Evaluate throws NO_VALUE
 */

const MAX_STEPS = 100_000;
const UNSUPPORTED = Symbol("unsupported");
const SPACE = /\s|\/\/[^\n]*/y;
const TOKEN =
  /(?<number>0[xX][\da-fA-F]+|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)u?|(?<string>"(?!"")(?:\\.|[^"\\\n])*"|'(?!'')(?:\\.|[^'\\\n])*')|(?<name>[A-Za-z_]\w*)|(?<sign>&&|\|\||[=!<>]=|[-+*/<>!?:.,()[\]])/y;
const ESCAPE = /\\(?:u([\da-fA-F]{4})|U([\da-fA-F]{8})|x([\da-fA-F]{2})|(.))/g;
/** @type {Record<string, string>} */
const ESCAPED = { n: "\n", r: "\r", t: "\t", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?" };
const CONSTANTS = new Map(/** @type {[string, Json][]} */ ([["true", true], ["false", false], ["null", null]]));
const LEVELS = [["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">=", "in"], ["+", "-"], ["*", "/"]];
const MACROS = new Set(["all", "exists", "exists_one", "existsOne", "filter", "map"]);

/**
 * Compile a condition.
 *
 * @param {string} source CEL
 * @returns {(scope: Scope) => boolean | null} null: only the server knows
 */
export function compileCondition(source) {
  const expression = compile(source);
  return (scope) => {
    const outcome = expression(scope);
    return outcome === null ? null : outcome.value === true;
  };
}

/**
 * Compile an expression.
 *
 * @param {string} source
 * @returns {(scope: Scope) => {value?: Json} | null} null: it can't be evaluated here; without a value: it has none
 */
export function compile(source) {
  /** @type {Evaluate | null} */
  let evaluate = null;
  try {
    evaluate = new Parser(source).parse();
  } catch (error) {
    if (error !== UNSUPPORTED) throw error;
  }
  return (scope) => {
    if (evaluate === null) return null;
    try {
      return { value: evaluate({ ...scope, variables: {}, budget: { steps: MAX_STEPS } }) };
    } catch (error) {
      return error === NO_VALUE ? {} : null; // unsupported, too long, or nested too deep for the stack
    }
  };
}

class Parser {
  /** @type {{kind: string, text: string}[]} */
  #tokens = [];
  #next = 0;
  /** @type {string[]} */
  #variables = [];

  /** @param {string} source */
  constructor(source) {
    let place = 0;
    while (place < source.length) {
      SPACE.lastIndex = TOKEN.lastIndex = place;
      const match = SPACE.test(source) ? null : TOKEN.exec(source);
      if (match?.groups !== undefined) {
        const [kind, text] = Object.entries(match.groups).find(([, text]) => text !== undefined) ?? unsupported();
        this.#tokens.push({ kind, text });
      } else if (SPACE.lastIndex === 0) unsupported();
      place = match === null ? SPACE.lastIndex : TOKEN.lastIndex;
    }
  }

  parse() {
    const expression = this.#condition();
    return this.#next === this.#tokens.length ? expression : unsupported();
  }

  /** @returns {Evaluate} */
  #condition() {
    const condition = this.#level(0);
    if (!this.#take("?")) return condition;
    const [yes, no] = [this.#level(0), (this.#expect(":"), this.#condition())];
    return (frame) => (boolean(condition(frame)) ? yes(frame) : no(frame));
  }

  /**
   * @param {number} level of `LEVELS`
   * @returns {Evaluate}
   */
  #level(level) {
    if (level === LEVELS.length) return this.#unary();
    let left = this.#level(level + 1);
    for (;;) {
      const sign = LEVELS[level].find((one) => this.#take(one));
      if (sign === undefined) return left;
      left = operation(sign, left, this.#level(level + 1));
    }
  }

  /** @returns {Evaluate} */
  #unary() {
    if (this.#take("!")) return ((value) => (/** @type {Frame} */ frame) => !boolean(value(frame)))(this.#unary());
    if (this.#take("-")) return ((value) => (/** @type {Frame} */ frame) => -number(value(frame)))(this.#unary());
    return this.#member();
  }

  /** @returns {Evaluate} */
  #member() {
    let value = this.#primary();
    for (;;) {
      if (this.#take(".")) value = this.#selection(value);
      else if (this.#take("[")) value = this.#index(value);
      else return value;
    }
  }

  /** @param {Evaluate} value */
  #selection(value) {
    const name = this.#name();
    if (!this.#take("(")) return (/** @type {Frame} */ frame) => entry(value(frame), name);
    if (MACROS.has(name)) return this.#macro(name, value);
    if (name === "matches") return this.#matches(value);
    const method = METHODS.get(name) ?? unsupported();
    const others = this.#list(")");
    return (/** @type {Frame} */ frame) => method(value(frame), ...others.map((other) => other(frame)));
  }

  /**
   * @param {Evaluate} value
   * @returns {Evaluate}
   */
  #matches(value) {
    const { kind, text: pattern } = this.#token();
    this.#expect(")");
    const matches = (kind === "string" ? createMatcher(unescape(pattern.slice(1, -1))) : null) ?? unsupported();
    return (frame) => matches(string(value(frame))) ?? unsupported();
  }

  /** @param {Evaluate} value */
  #index(value) {
    const { kind, text } = this.#token();
    this.#expect("]");
    const isWhole = kind === "number" && /^\d+$/.test(text);
    const index = kind === "string" ? unescape(text.slice(1, -1)) : isWhole ? Number(text) : unsupported();
    return (/** @type {Frame} */ frame) => entry(value(frame), index);
  }

  /**
   * @param {string} name
   * @param {Evaluate} range
   * @returns {Evaluate}
   */
  #macro(name, range) {
    const variable = this.#name();
    this.#expect(",");
    this.#variables.push(variable);
    const bodies = this.#list(")");
    this.#variables.pop();
    if (bodies.length !== 1 && !(name === "map" && bodies.length === 2)) unsupported();
    const [first, second = first] = bodies;
    return (frame) => {
      const items = keys(range(frame));
      spend(frame, items.length);
      const of = (/** @type {Evaluate} */ body) => (/** @type {Json} */ item) =>
        body({ ...frame, variables: { ...frame.variables, [variable]: item } });
      const holds = (/** @type {Json} */ item) => boolean(of(first)(item));
      if (name === "all") return decide(items.map((item) => () => of(first)(item)), false);
      if (name === "exists") return decide(items.map((item) => () => of(first)(item)), true);
      if (name === "map") return (bodies.length === 2 ? items.filter(holds) : items).map(of(second));
      return name === "filter" ? items.filter(holds) : items.filter(holds).length === 1;
    };
  }

  /** @returns {Evaluate} */
  #primary() {
    const { kind, text } = this.#token();
    if (kind === "number") return constant(Number.isFinite(Number(text)) ? Number(text) : unsupported());
    if (kind === "string") return constant(unescape(text.slice(1, -1)));
    if (kind === "name") return this.#named(text);
    if (text === "[") {
      const items = this.#list("]");
      return (frame) => items.map((item) => item(frame));
    }
    if (text !== "(") unsupported();
    const inner = this.#condition();
    this.#expect(")");
    return inner;
  }

  /**
   * @param {string} name
   * @returns {Evaluate}
   */
  #named(name) {
    if (CONSTANTS.has(name)) return constant(CONSTANTS.get(name) ?? null);
    if (this.#take("(")) return this.#call(name);
    if (this.#variables.includes(name)) return ({ variables }) => variables[name];
    if (name !== "answers" && name !== "parameters") unsupported();
    const key = this.#key();
    return (frame) => plain(Object.hasOwn(frame[name], key) ? frame[name][key] : null);
  }

  /** Return the name of a member of `answers` or `parameters`. */
  #key() {
    if (this.#take(".")) return this.#name();
    this.#expect("[");
    const { kind, text } = this.#token();
    this.#expect("]");
    return kind === "string" ? unescape(text.slice(1, -1)) : unsupported();
  }

  /**
   * @param {string} name
   * @returns {Evaluate}
   */
  #call(name) {
    if (name === "has") return this.#has();
    if (name === "other_text") return this.#ownText();
    const values = this.#list(")");
    if (name === "coalesce" && values.length > 0) return (frame) => coalesce(values, frame);
    if (name === "answered" && values.length === 1) return (frame) => isAnswered(coalesce(values, frame));
    const { arity, call } = FUNCTIONS.get(name) ?? unsupported();
    if (![arity].flat().includes(values.length)) unsupported();
    return (frame) => call(...values.map((value) => value(frame)));
  }

  /** @returns {Evaluate} whether a map has a field; `answers` has every step */
  #has() {
    const place = this.#next;
    if (this.#take("answers")) {
      this.#key();
      if (this.#take(")")) return constant(true);
      this.#next = place;
    }
    let operand = this.#primary();
    for (;;) {
      this.#expect(".");
      const name = this.#name();
      if (this.#take(")")) return this.#hasField(operand, name);
      operand = ((of) => (/** @type {Frame} */ frame) => entry(of(frame), name))(operand);
    }
  }

  /**
   * @param {Evaluate} operand
   * @param {string} name
   * @returns {Evaluate}
   */
  #hasField(operand, name) {
    return (frame) => {
      const value = operand(frame);
      return isMap(value) ? Object.hasOwn(value, name) : fail();
    };
  }

  /** @returns {Evaluate} */
  #ownText() {
    this.#expect("answers");
    const key = this.#key();
    this.#expect(")");
    return ({ answers }) => ownText(Object.hasOwn(answers, key) ? answers[key] : null);
  }

  /** @param {string} end */
  #list(end) {
    /** @type {Evaluate[]} */
    const items = [];
    while (!this.#take(end)) {
      if (items.length > 0) this.#expect(",");
      items.push(this.#condition());
    }
    return items;
  }

  #name() {
    const { kind, text } = this.#token();
    return kind === "name" && !CONSTANTS.has(text) && text !== "in" ? text : unsupported();
  }

  #token() {
    const token = this.#tokens[this.#next] ?? unsupported();
    this.#next += 1;
    return token;
  }

  /** @param {string} sign */
  #take(sign) {
    const token = this.#tokens[this.#next];
    const isNext = token !== undefined && token.kind !== "string" && token.text === sign;
    if (isNext) this.#next += 1;
    return isNext;
  }

  /** @param {string} sign */
  #expect(sign) {
    if (!this.#take(sign)) unsupported();
  }
}

/**
 * @param {string} sign
 * @param {Evaluate} left
 * @param {Evaluate} right
 * @returns {Evaluate}
 */
function operation(sign, left, right) {
  if (sign === "||" || sign === "&&") return (frame) => decide([() => left(frame), () => right(frame)], sign === "||");
  return (frame) => {
    const [a, b] = [left(frame), right(frame)];
    if (sign === "+" && Array.isArray(a) && Array.isArray(b)) return spend(frame, a.length + b.length), [...a, ...b];
    if (sign === "+" && typeof a === "string" && typeof b === "string") return spend(frame, a.length + b.length), a + b;
    spend(frame, 1);
    return calculate(sign, a, b);
  };
}

/**
 * @param {Evaluate[]} values
 * @param {Frame} frame
 */
function coalesce(values, frame) {
  for (const value of values) {
    try {
      const found = value(frame);
      if (found !== null) return found;
    } catch (error) {
      if (error !== NO_VALUE) throw error;
    }
  }
  return null;
}

/** @param {Json} value @returns {Evaluate} */
function constant(value) {
  return () => value;
}

/** @param {string} text */
function unescape(text) {
  return text.replace(ESCAPE, (_, short, long, byte, character) => {
    const code = short ?? long ?? byte;
    if (code !== undefined) return Number(`0x${code}`) > 0x10ffff ? unsupported() : String.fromCodePoint(Number(`0x${code}`));
    return ESCAPED[character] ?? unsupported();
  });
}

/**
 * @param {Frame} frame
 * @param {number} steps
 */
function spend({ budget }, steps) {
  budget.steps -= steps;
  if (budget.steps < 0) unsupported();
}

/** @returns {never} */
function unsupported() {
  throw UNSUPPORTED;
}
