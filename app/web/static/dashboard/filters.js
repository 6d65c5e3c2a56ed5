// @ts-check
/** A form of filters, kept in the page's URL so that a view can be bookmarked and shared. */

const TYPING_DELAY_MS = 300;

export class Filters {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #form;
  #onChange;

  /**
   * @param {HTMLFormElement} form
   * @param {() => void} onChange
   */
  constructor(form, onChange) {
    this.#form = form;
    this.#onChange = onChange;
    this.#fillFromUrl();
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#apply());
    form.addEventListener("input", (event) => this.#handleInput(event));
    form.addEventListener("reset", () => setTimeout(() => this.#apply())); // fields are cleared after the event
    addEventListener("popstate", () => {
      this.#fillFromUrl();
      this.#onChange();
    });
  }

  /** The values by field name; empty strings for fields without one. */
  get values() {
    return Object.fromEntries(this.#fields().map((field) => [field.name, field.value.trim()]));
  }

  /** Whether any filter is set. */
  get isActive() {
    return Object.values(this.values).some((value) => value !== "");
  }

  #fields() {
    const elements = /** @type {(HTMLInputElement | HTMLSelectElement)[]} */ ([...this.#form.elements]);
    return elements.filter((field) => field.name !== "");
  }

  #fillFromUrl() {
    const query = new URLSearchParams(location.search);
    for (const field of this.#fields()) {
      field.value = query.get(field.name) ?? "";
      if (field instanceof HTMLSelectElement && field.selectedIndex < 0) field.value = ""; // no such option
    }
  }

  /** @param {Event} event */
  #handleInput(event) {
    if (!(event.target instanceof HTMLInputElement) || event.target.type !== "search") return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#apply(), TYPING_DELAY_MS);
  }

  #apply() {
    clearTimeout(this.#timer);
    if (!this.#form.reportValidity()) return;
    const set = Object.entries(this.values).filter(([, value]) => value !== "");
    const query = new URLSearchParams(set).toString();
    const url = query === "" ? location.pathname : `${location.pathname}?${query}`;
    if (url === location.pathname + location.search) return;
    history.pushState(null, "", url);
    this.#onChange();
  }
}
