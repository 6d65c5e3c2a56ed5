// @ts-check
/**
 * The id that this browser keeps for a participant who came without one.
 *
 * It is kept twice: in localStorage, which is there at once, but which Chromium writes to the disk only
 * seconds later; and in IndexedDB, which is on the disk when it says so. Without the second a browser
 * that is killed in the first seconds would come back as somebody else, and the answers that it keeps
 * would wait for ever.
 */

import { isUserId, newUserId } from "../client/ids.js";
import { within } from "../client/timeout.js";
import { openDB } from "../vendor/idb-8.0.4/index.js";

const KEY = "stepkeep:user";
const DATABASE = "stepkeep-participant";
const STORE = "ids";
const WITHIN_MS = 2_000; // as the outbox; the survey doesn't wait longer for it

/**
 * Return the id, made at the first call. Where the browser forbids all storage it lives as long as the page.
 *
 * @returns {Promise<string>}
 */
export async function keptUserId() {
  const quick = inLocalStorage();
  if (quick !== null) {
    void storeDurably(quick);
    return quick;
  }
  const kept = await durably();
  const id = inLocalStorage() ?? kept ?? newUserId(); // another tab may have made one meanwhile
  storeQuickly(id);
  await storeDurably(id);
  return id;
}

/**
 * Forget the id, if it is this one.
 *
 * @param {string} id
 * @returns {Promise<void>}
 */
export async function forgetUserId(id) {
  if (inLocalStorage() === id) localStorage.removeItem(KEY);
  await withStore(async (database) => {
    if ((await database.get(STORE, KEY)) === id) await database.delete(STORE, KEY);
  });
}

/** @returns {string | null} */
function inLocalStorage() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept !== null && isUserId(kept) ? kept : null;
  } catch {
    return null; // storage is forbidden here
  }
}

/** @param {string} id */
function storeQuickly(id) {
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // forbidden or full: IndexedDB or this page must do
  }
}

/** @returns {Promise<string | null>} */
async function durably() {
  const kept = await withStore((database) => database.get(STORE, KEY));
  return typeof kept === "string" && isUserId(kept) ? kept : null;
}

/** @param {string} id */
async function storeDurably(id) {
  await withStore(async (database) => {
    const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
    await Promise.all([transaction.store.put(id, KEY), transaction.done]);
  });
}

/**
 * @template T
 * @param {(database: any) => Promise<T>} work
 * @returns {Promise<T | null>} null where IndexedDB is forbidden, missing or hangs
 */
async function withStore(work) {
  try {
    return await within(opened().then(work), WITHIN_MS);
  } catch (problem) {
    console.warn("stepkeep: the participant's id is not kept on the disk", problem);
    return null;
  }
}

/** @returns {Promise<any>} */
async function opened() {
  return openDB(DATABASE, 1, {
    upgrade(/** @type {any} */ database) {
      database.createObjectStore(STORE);
    },
  });
}
