// @ts-check
/**
 * A survey in a frame of another site: `/embed/<survey>#<token>`, or without a token for a public survey.
 *
 * The script loads the survey's page with the token, since a browser sends no cookie that it could be shown by, puts it in
 * the place of its own, and starts its script. It notifies the sites that may show it of the page's height:
 *
 *     { type: "stepkeep:height", height: 640 } // CSS pixels
 */

import { byId } from "../dom.js";

const PARTS = /** @type {const} */ (["opening", "ended", "left", "waiting"]);

const { pageUrl = "", ancestors = "", left } = byId("embed").dataset;
const token = location.hash.slice(1);
const parameters = new URLSearchParams(location.search); // the survey's too
parameters.delete("has-left");
const search = `?${parameters}`;

/** @param {(typeof PARTS)[number]} part */
function show(part) {
  for (const name of PARTS) byId(name).hidden = name !== part;
  byId("embed").dataset.part = part;
  if (part === "left") byId(part).querySelector("h1")?.focus();
}

async function open() {
  show("opening");
  try {
    const response = await fetch(pageUrl + search, {
      headers: token === "" ? {} : { Authorization: `Bearer ${token}` },
      cache: "no-store",
      redirect: "error", // never send the token to another URL
    });
    if (response.ok) await replacePage(await response.text());
    else show(response.status >= 500 || response.status === 429 ? "waiting" : "ended");
  } catch {
    show("waiting");
  }
}

/** @param {string} html the survey's page; its scripts do not run by being added */
async function replacePage(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const script = page.querySelector("script[type=module]")?.getAttribute("src") ?? "";
  for (const name of ["lang", "dir"]) document.documentElement.setAttribute(name, page.documentElement.getAttribute(name) ?? "");
  await Promise.all([...page.querySelectorAll("link[rel=stylesheet]")].map(addStyle));
  document.title = page.title;
  document.body.replaceChildren(...document.adoptNode(page.body).childNodes);
  await import(new URL(script, location.href).href);
}

/**
 * @param {Element} link
 * @returns {Promise<void>} when it applies: else the page would be shown without it for a moment
 */
function addStyle(link) {
  const href = link.getAttribute("href") ?? "";
  if (document.querySelector(`link[href="${CSS.escape(href)}"]`) !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const own = document.createElement("link");
    own.rel = "stylesheet";
    own.href = href;
    own.onload = own.onerror = () => resolve();
    document.head.append(own);
  });
}

function postHeight() {
  const message = { type: "stepkeep:height", height: Math.ceil(document.body.getBoundingClientRect().height) };
  for (const origin of ancestors.split(" ")) parent.postMessage(message, origin);
}

byId("again").addEventListener("click", () => void open());
byId("anew").addEventListener("click", () => location.replace(location.pathname + search));
if (parent !== window) new ResizeObserver(postHeight).observe(document.body);
if (left === undefined) void open();
else show("left");
