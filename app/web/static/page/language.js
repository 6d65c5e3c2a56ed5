// @ts-check
/** The survey's language, as a tag that `Intl` accepts. */

/** Return the page's language; English if its tag is well-formed for the server but not for `Intl`. */
export function surveyLanguage() {
  try {
    return Intl.getCanonicalLocales(document.documentElement.lang || "en")[0];
  } catch {
    return "en";
  }
}

/**
 * Return the address of this page in a language.
 *
 * @param {string} language
 */
export function withLanguage(language) {
  const url = new URL(location.href);
  url.searchParams.set("lang", language);
  return url.href;
}
