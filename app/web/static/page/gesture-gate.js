// @ts-check
/**
 * One gesture answers one step: the second half of a double click or tap, and a key that is held, press no button of
 * the step that has just appeared, and no second button at all. Listens before all other listeners of the page.
 *
 * A gesture is a click, a tap or a key press with what repeats it. It is spent once it has pressed a button, or when a
 * step comes into view; what is left of it is ignored, and the next gesture counts.
 */

const REPEAT_MS = 500; // the usual longest pause within a double click
const REPEAT_PX = 40; // the usual largest distance within a double tap

export class GestureGate {
  #isSpent = false;
  /** Whether a pointer or key went down since the last click; assistive technology clicks without. */
  #isDown = false;
  /** @type {PointerEvent | null} the last touch */
  #touch = null;
  #endedAt = 0;

  constructor() {
    const listen = (/** @type {string} */ type, /** @type {(event: any) => void} */ handle) =>
      addEventListener(type, handle, { capture: true });
    listen("pointerdown", (event) => this.#handlePointer(event));
    listen("mousedown", (event) => this.#touch === null && this.#goDown(event, event.detail > 1));
    listen("keydown", (event) => this.#goDown(event, event.repeat));
    listen("click", (event) => this.#handleClick(event));
  }

  /** Spend the gesture that is under way: a step has come into view. */
  spend() {
    this.#isSpent = true;
  }

  /** @param {PointerEvent} event */
  #handlePointer(event) {
    const last = this.#touch;
    this.#touch = event.pointerType === "mouse" ? null : event; // the browser counts a mouse's clicks itself
    if (this.#touch !== null) this.#goDown(event, last !== null && isRepeat(last, event));
  }

  /**
   * @param {Event} event
   * @param {boolean} isRepeated whether it belongs to the gesture before it
   */
  #goDown(event, isRepeated) {
    this.#isDown = true;
    if (!isRepeated) this.#isSpent = false;
    this.#endedAt = event.timeStamp;
  }

  /** @param {MouseEvent} event */
  #handleClick(event) {
    if (!this.#isDown && event.timeStamp - this.#endedAt > REPEAT_MS) this.#isSpent = false;
    this.#isDown = false;
    this.#endedAt = event.timeStamp;
    if (this.#isSpent) {
      event.preventDefault();
      event.stopImmediatePropagation();
    } else if (event.target instanceof Element && event.target.closest("button") !== null) {
      this.#isSpent = true;
    }
  }
}

/**
 * @param {PointerEvent} first
 * @param {PointerEvent} second
 */
function isRepeat(first, second) {
  const distance = Math.hypot(second.clientX - first.clientX, second.clientY - first.clientY);
  return second.timeStamp - first.timeStamp < REPEAT_MS && distance < REPEAT_PX;
}
