// @ts-check
/** GET requests to the REST API with the sign-in's cookie; failures carry a text for people. */

export class RequestError extends Error {
  /**
   * @param {number} status HTTP status; 0 without a complete response
   * @param {string} message for people
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} [parameters] empty ones are omitted
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 * @throws {RequestError}
 */
export async function fetchJson(path, parameters = {}, signal) {
  const query = toQuery(parameters);
  let response;
  try {
    response = await fetch(query === "" ? path : `${path}?${query}`, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new RequestError(0, "The server can’t be reached just now. This page tries again by itself.");
  }
  const body = await response.json().catch((error) => {
    if (isAbort(error)) throw error;
    return null; // truncated, or a proxy's page
  });
  if (response.ok && body === null) {
    throw new RequestError(0, "The response was incomplete. This page tries again by itself.");
  }
  if (response.ok) return body;
  throw new RequestError(response.status, messageFor(response.status, body?.detail));
}

/**
 * Return a query string without empty parameters.
 *
 * @param {Record<string, string | number>} parameters
 */
export function toQuery(parameters) {
  const present = Object.entries(parameters).filter(([, value]) => value !== "");
  return new URLSearchParams(present.map(([name, value]) => [name, String(value)])).toString();
}

/** @param {unknown} error */
function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * @param {number} status
 * @param {unknown} detail of the problem document
 */
function messageFor(status, detail) {
  if (status === 401) return "Your sign-in has ended. Load this page again to sign in.";
  if (status === 403) return "This key may not read sessions, so there is nothing to show.";
  if (status === 429) return "There were too many requests in a short time. This page waits, and tries again by itself.";
  if (status === 503) return "The database is unavailable just now. This page tries again by itself.";
  if (typeof detail !== "string") return "This did not work.";
  return `${detail.charAt(0).toUpperCase()}${detail.slice(1).replace(/\.$/u, "")}.`;
}
