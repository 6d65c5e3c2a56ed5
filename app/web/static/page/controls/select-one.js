// @ts-check
/** One of many options: a dropdown of the browser, or a field that finds them (WAI-ARIA's combobox with a list). */

import { make } from "../../dom.js";
import { text } from "../texts.js";
import { OtherTexts, valueOf } from "./other-texts.js";
import { createPrompt } from "./prompt.js";
import { matcher } from "./search.js";

/**
 * @typedef {import("./index.js").Json} Json
 * @typedef {import("./index.js").Step} Step
 * @typedef {import("./index.js").StepControl} StepControl
 * @typedef {NonNullable<Step["options"]>[number]} Option
 */

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function createDropdown(step) {
  const options = step.options ?? [];
  const items = options.map(({ label }, n) => make("option", { value: n }, label));
  const field = make("select", { id: "answer" }, make("option", { value: "" }, text("controls.dropdown.empty")), ...items);
  const chosen = () => options[field.selectedIndex - 1] ?? null;
  return createControl(step, field, [field], {
    chosen,
    choose: (option) => {
      field.selectedIndex = option === null ? 0 : options.indexOf(option) + 1;
    },
    unknown: () => "",
  });
}

/**
 * @param {Step} step
 * @returns {StepControl}
 */
export function createCombobox(step) {
  const options = step.options ?? [];
  const items = options.map(({ label }, n) => make("li", { id: `option-${n}`, role: "option", "aria-selected": "false" }, label));
  const list = make("ul", { id: "found", role: "listbox", "aria-label": step.prompt, hidden: true }, ...items);
  const count = make("p", { class: "hint", role: "status" });
  const field = make("input", {
    id: "answer",
    type: "text",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    "aria-autocomplete": "list",
    "aria-controls": list.id,
    "aria-expanded": "false",
    placeholder: text("controls.search.placeholder"),
  });
  const combobox = make("div", { class: "combobox" }, field, list);
  /** @type {Option | null} */
  let chosen = null;
  let active = -1;
  const shownItems = () => items.filter((item) => !item.hidden);

  const activate = (/** @type {number} */ n) => {
    items[active]?.classList.remove("active");
    active = n;
    const item = items[n];
    item?.classList.add("active");
    item?.scrollIntoView({ block: "nearest" });
    if (item === undefined) field.removeAttribute("aria-activedescendant");
    else field.setAttribute("aria-activedescendant", item.id);
  };
  const open = (/** @type {boolean} */ isOpen) => {
    const isShown = isOpen && shownItems().length > 0;
    list.hidden = !isShown;
    field.setAttribute("aria-expanded", String(isShown));
    if (!isShown) activate(-1);
    if (isShown) document.addEventListener("click", closeFromOutside);
    else document.removeEventListener("click", closeFromOutside);
  };
  // Not on blur: what is below would move away from under the pointer that presses it.
  const closeFromOutside = (/** @type {Event} */ event) => {
    if (!combobox.contains(/** @type {Node} */ (event.target))) open(false);
  };
  /** @param {string} typed */
  const filter = (typed) => {
    const matches = matcher(typed);
    for (const [n, option] of options.entries()) items[n].hidden = !matches(option);
    activate(-1);
  };
  const choose = (/** @type {Option | null} */ option) => {
    chosen = option;
    field.value = option?.label ?? "";
    count.textContent = "";
    for (const [n, item] of items.entries()) item.setAttribute("aria-selected", String(options[n] === option));
    filter("");
    open(false);
  };
  const pick = (/** @type {Option} */ option) => {
    choose(option);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    open(false);
  };
  const moveBy = (/** @type {number} */ delta) => {
    if (list.hidden) return open(true);
    const shown = shownItems();
    const place = shown.indexOf(items[active]);
    const next = place < 0 ? (delta > 0 ? 0 : shown.length - 1) : (place + delta + shown.length) % shown.length;
    activate(items.indexOf(shown[next]));
  };

  field.addEventListener("input", () => {
    if (chosen !== null && field.value === chosen.label) return; // picked
    const exact = options.filter(({ label }) => label.toLowerCase() === field.value.trim().toLowerCase());
    chosen = exact.length === 1 ? exact[0] : null;
    filter(field.value);
    open(true);
    count.textContent = chosen === null && field.value.trim() !== "" ? text("controls.search.found", { count: shownItems().length }) : "";
  });
  field.addEventListener("click", () => open(true));
  field.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") moveBy(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter" && active >= 0) pick(options[active]);
    else if (event.key === "Escape" && !list.hidden) open(false);
    else if (event.key === "Tab") return open(false);
    else return;
    event.preventDefault();
  });
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
  list.addEventListener("click", (event) => {
    const n = items.findIndex((item) => item.contains(/** @type {Node} */ (event.target)));
    if (n >= 0) pick(options[n]);
  });
  return createControl(step, field, [combobox, count], {
    chosen: () => chosen,
    choose,
    unknown: () => field.value.trim(),
    showUnknown: (typed) => {
      field.value = typed;
      filter(typed);
    },
  });
}

/**
 * @param {Step} step
 * @param {HTMLInputElement | HTMLSelectElement} field
 * @param {HTMLElement[]} body
 * @param {object} behavior
 * @param {() => Option | null} behavior.chosen
 * @param {(option: Option | null) => void} behavior.choose
 * @param {() => string} behavior.unknown what is typed and no option
 * @param {(typed: string) => void} [behavior.showUnknown]
 * @returns {StepControl}
 */
function createControl(step, field, body, { chosen, choose, unknown, showUnknown }) {
  const options = step.options ?? [];
  const others = new OtherTexts(options);
  const { heading, below, descriptions } = createPrompt(step, field.id);
  const element = make("div", {}, heading, ...below, ...body, ...others.rows);
  field.setAttribute("aria-describedby", [...descriptions, "problem"].join(" "));
  if (step.required) field.setAttribute("aria-required", "true");
  element.addEventListener("input", () => others.update([chosen()?.value ?? null]));
  const value = () => others.answer(chosen()?.value ?? null);
  return {
    element,
    heading,
    field,
    validated: [field],
    draft: () => value() ?? (unknown() || null),
    value,
    show: (shown) => {
      const option = options.find((one) => one.value === valueOf(shown)) ?? null;
      choose(option);
      if (option === null && typeof shown === "string") showUnknown?.(shown);
      others.show([shown]);
    },
    problem: () => {
      if (chosen() !== null) return others.problem([value()].map(valueOf));
      if (unknown() !== "") return text("controls.search.not_found");
      return step.required ? text("controls.choose_one") : null;
    },
  };
}
