// @ts-check
/** Where the participant is on the page: the focus, the selected text and what is in view. */

/**
 * Draw a part of the page anew, and leave the participant where they are. What had the focus has it again; if it no longer
 * exists, the heading has it.
 *
 * @template Result
 * @param {HTMLElement} root
 * @param {() => Result} draw
 * @returns {Result}
 */
export function keepPlace(root, draw) {
  const [{ activeElement }, { scrollY }] = [document, window];
  const focused = activeElement instanceof HTMLElement && root.contains(activeElement) ? activeElement : null;
  const top = focused?.getBoundingClientRect().top ?? 0;
  const selection = isText(focused) ? /** @type {const} */ ([focused.selectionStart, focused.selectionEnd]) : null;
  const scrolled = focused?.scrollTop ?? 0;
  const find = focused === null ? () => null : finder(root, focused);
  const result = draw();
  if (focused === null) return scrollTo({ top: scrollY }), result;
  const found = find();
  found?.focus({ preventScroll: true });
  if (found === null || document.activeElement !== found) {
    /** @type {HTMLElement | null} */ (root.querySelector("#prompt"))?.focus({ preventScroll: true });
    return result;
  }
  if (isText(found) && selection !== null && selection[0] !== null) found.setSelectionRange(...selection);
  found.scrollTop = scrolled;
  scrollBy({ top: found.getBoundingClientRect().top - top });
  return result;
}

/**
 * Return a function that finds an element again: itself, or what stands for the same option or field.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} element
 * @returns {() => HTMLElement | null}
 */
function finder(root, element) {
  const part = element.closest(".part")?.getAttribute("data-part") ?? null;
  const option = element.closest("[data-value]");
  const value = option?.getAttribute("data-value") ?? null;
  const place = option === null ? -1 : within(option).indexOf(element);
  return () => {
    if (element.isConnected) return element;
    const scope = part === null ? root : root.querySelector(`.part[data-part="${CSS.escape(part)}"]`);
    if (value === null) return element.id === "" ? null : (scope?.querySelector(`#${CSS.escape(element.id)}`) ?? null);
    const found = scope?.querySelector(`[data-value="${CSS.escape(value)}"]`);
    return found ? (within(found)[place] ?? null) : null;
  };
}

/**
 * @param {Element} option
 * @returns {HTMLElement[]} an option and its buttons
 */
function within(option) {
  return [/** @type {HTMLElement} */ (option), ...option.querySelectorAll("button")];
}

/**
 * @param {Element | null} element
 * @returns {element is HTMLInputElement | HTMLTextAreaElement}
 */
function isText(element) {
  return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement;
}
