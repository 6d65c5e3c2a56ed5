// @ts-check
/** Asking REST with the sign-in's cookie, and what went wrong in words for people. */

export class Refused extends Error {
  /**
   * @param {number} status of HTTP; 0 where the server was not reached, or its answer did not come whole
   * @param {string} message for people
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * The answer to a GET.
 *
 * @param {string} path
 * @param {Record<string, string | number>} [parameters] empty ones are left out
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 * @throws {Refused} it was not answered
 */
export async function ask(path, parameters = {}, signal) {
  const query = queryOf(parameters);
  let response;
  try {
    response = await fetch(query === "" ? path : `${path}?${query}`, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Refused(0, "The server can’t be reached just now. This page tries again by itself.");
  }
  const body = await response.json().catch((error) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    return null; // cut short, or not of the server: a proxy's page
  });
  if (response.ok && body === null) throw new Refused(0, "The answer came broken. This page tries again by itself.");
  if (response.ok) return body;
  throw new Refused(response.status, wordsFor(response.status, body?.detail));
}

/**
 * Parameters as a query, without the empty ones.
 *
 * @param {Record<string, string | number>} parameters
 */
export function queryOf(parameters) {
  const filled = Object.entries(parameters).filter(([, value]) => value !== "");
  return new URLSearchParams(filled.map(([name, value]) => [name, String(value)])).toString();
}

/**
 * @param {number} status
 * @param {unknown} detail what REST says
 */
function wordsFor(status, detail) {
  if (status === 401) return "Your sign-in has ended. Load this page again to sign in.";
  if (status === 403) return "This key may not read sessions, so there is nothing to show.";
  if (status === 429) return "Too much was asked in a short time. This page waits, and tries again by itself.";
  if (status === 503) return "The database is out of reach just now. This page tries again by itself.";
  return typeof detail === "string" ? `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.` : "This did not work.";
}
