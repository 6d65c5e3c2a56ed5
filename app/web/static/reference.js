// @ts-check
/**
 * Sends the requests of the API reference at /docs. A token stays in the page's field; without one, requests have this
 * browser's cookies.
 */

import { subprotocols } from "./client/protocol.js";
import { byId } from "./dom.js";

const MAX_SHOWN = 100_000; // characters
const SHOWN_HEADERS = ["Content-Type", "ETag", "Retry-After", "Allow", "Content-Disposition"];

const root = (byId("content").dataset.root ?? "/").replace(/\/$/, "");
const tokenField = /** @type {HTMLInputElement} */ (byId("token"));
/** @type {WebSocket | null} */
let socket = null;

/**
 * @param {HTMLFormElement} form
 * @param {string} note
 * @param {string} [text]
 */
function show(form, note, text) {
  const [status, output] = form.querySelectorAll("[role=status], pre");
  status.textContent = note;
  if (text === undefined) return;
  output.textContent = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}\n… (${text.length} characters)` : text;
  output.toggleAttribute("hidden", text === "");
}

/**
 * Return the address and the headers that the form's fields give.
 *
 * @param {HTMLFormElement} form
 * @param {string} path
 */
function readFields(form, path) {
  const query = new URLSearchParams();
  /** @type {Record<string, string>} */
  const headers = {};
  for (const { name, value, dataset } of form.querySelectorAll("input")) {
    if (dataset.in === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "" && dataset.in === "query") query.append(name, value);
    else if (value !== "") headers[name] = value;
  }
  return { url: `${root}${path}${query.size > 0 ? `?${query}` : ""}`, headers };
}

/** @param {Response} response */
async function readBody(response) {
  const type = response.headers.get("Content-Type") ?? "";
  if (!/json|text/.test(type)) return `(${(await response.arrayBuffer()).byteLength} bytes)`;
  const text = await response.text();
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // JSON Lines, CSV or metrics
  }
}

/** @param {HTMLFormElement} form */
async function sendRequest(form) {
  const { url, headers } = readFields(form, form.dataset.path ?? "");
  const body = form.querySelector("textarea")?.value || undefined;
  const token = tokenField.value.trim();
  if (token !== "") headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  show(form, "Sending…");
  try {
    const credentials = token === "" ? "same-origin" : "omit";
    const response = await fetch(url, { method: form.dataset.method, headers, body, credentials });
    const lines = SHOWN_HEADERS.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
    show(form, `${response.status} ${response.statusText}`, [...lines, "", await readBody(response)].join("\n"));
  } catch (error) {
    show(form, `No response: ${error}`, "");
  }
}

/** @param {HTMLFormElement} form */
function connect(form) {
  socket?.close();
  const { url } = readFields(form, "/ws/survey/{user_id}");
  const address = new URL(url, location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const send = /** @type {HTMLButtonElement} */ (form.elements.namedItem("send"));
  const output = form.querySelector("pre");
  const opened = new WebSocket(address, subprotocols(tokenField.value.trim() || undefined));
  socket = opened;
  show(form, "Connecting…", "");
  opened.onopen = () => {
    send.disabled = false;
    show(form, "Connected.");
  };
  opened.onmessage = ({ data }) => show(form, "Connected.", `${output?.textContent}< ${data}\n`);
  opened.onclose = ({ code, reason }) => {
    if (opened !== socket) return; // another connection has replaced it
    send.disabled = true;
    show(form, `Closed with ${code}${reason === "" ? "" : `: ${reason}`}`);
  };
}

/** @param {HTMLFormElement} form */
function sendMessage(form) {
  const message = form.querySelector("textarea")?.value ?? "";
  show(form, "Connected.", `${form.querySelector("pre")?.textContent}> ${message}\n`);
  socket?.send(message);
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.id !== "socket") void sendRequest(form);
  else if (/** @type {HTMLButtonElement | null} */ (event.submitter)?.name === "send") sendMessage(form);
  else connect(form);
});

for (const element of document.querySelectorAll(".try")) element.removeAttribute("hidden");
