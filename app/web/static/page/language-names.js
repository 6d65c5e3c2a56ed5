// @ts-check
/** Names each language on the list of surveys as its speakers do: "العربية" instead of "ar". */

for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("bdi[lang]"))) {
  try {
    element.textContent = new Intl.DisplayNames(element.lang, { type: "language" }).of(element.lang) ?? element.lang;
  } catch {
    // The browser does not know the language: its tag stays.
  }
}
