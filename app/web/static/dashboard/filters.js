// @ts-check
/** A form of filters whose values stand in the page's address, so that a view can be kept and sent. */

const TYPING_MS = 300;

export class Filters {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;
  #form;
  #changed;

  /**
   * @param {HTMLFormElement} form
   * @param {() => void} changed is called after each change
   */
  constructor(form, changed) {
    this.#form = form;
    this.#changed = changed;
    this.#fill();
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#apply());
    form.addEventListener("input", (event) => this.#type(event));
    form.addEventListener("reset", () => setTimeout(() => this.#apply())); // the fields are empty after the event
    addEventListener("popstate", () => {
      this.#fill();
      this.#changed();
    });
  }

  /** What is chosen; empty where nothing is. */
  get values() {
    return Object.fromEntries(this.#fields().map((field) => [field.name, field.value.trim()]));
  }

  /** Whether something is chosen. */
  get areSet() {
    return Object.values(this.values).some((value) => value !== "");
  }

  #fields() {
    const all = /** @type {(HTMLInputElement | HTMLSelectElement)[]} */ ([...this.#form.elements]);
    return all.filter((field) => field.name !== "");
  }

  #fill() {
    const asked = new URLSearchParams(location.search);
    for (const field of this.#fields()) field.value = asked.get(field.name) ?? "";
    for (const field of this.#fields()) {
      if (field instanceof HTMLSelectElement && field.selectedIndex < 0) field.value = ""; // no such choice
    }
  }

  /** @param {Event} event */
  #type(event) {
    if (!(event.target instanceof HTMLInputElement) || event.target.type !== "search") return;
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#apply(), TYPING_MS);
  }

  #apply() {
    clearTimeout(this.#typing);
    if (!this.#form.reportValidity()) return;
    const chosen = Object.entries(this.values).filter(([, value]) => value !== "");
    const query = new URLSearchParams(chosen).toString();
    const address = query === "" ? location.pathname : `${location.pathname}?${query}`;
    if (address === location.pathname + location.search) return;
    history.pushState(null, "", address);
    this.#changed();
  }
}
