// @ts-check
/**
 * The participant id that this browser keeps when neither the server nor the link names one.
 *
 * It is stored twice: localStorage is read synchronously, but Chromium writes it to the disk only seconds later;
 * IndexedDB is on the disk when its transaction completes. Without the latter, a browser killed in the first seconds
 * would return as another participant, and never send the answers in its outbox.
 */

import { isUserId, newUserId } from "../client/ids.js";
import { withTimeout } from "../client/timeout.js";
import { openDB } from "../client/vendor/idb-8.0.4/index.js";

const KEY = "stepkeep:user";
const DATABASE = "stepkeep-participant";
const STORE = "ids";
const TIMEOUT_MS = 2_000; // as the outbox's

/**
 * Return the stored id, or create and store one. Without storage, each page has its own.
 *
 * @returns {Promise<string>}
 */
export async function storedUserId() {
  const local = readLocal();
  if (local !== null) {
    void writeDatabase(local);
    return local;
  }
  const stored = await readDatabase();
  const id = readLocal() ?? stored ?? newUserId(); // another tab may have created one meanwhile
  writeLocal(id);
  await writeDatabase(id);
  return id;
}

/** @returns {string | null} */
function readLocal() {
  try {
    const stored = localStorage.getItem(KEY);
    return stored !== null && isUserId(stored) ? stored : null;
  } catch {
    return null; // storage is forbidden
  }
}

/** @param {string} id */
function writeLocal(id) {
  try {
    localStorage.setItem(KEY, id);
  } catch {
    // forbidden or full: IndexedDB or this page has it
  }
}

/** @returns {Promise<string | null>} */
async function readDatabase() {
  const stored = await withDatabase((database) => database.get(STORE, KEY));
  return typeof stored === "string" && isUserId(stored) ? stored : null;
}

/** @param {string} id */
async function writeDatabase(id) {
  await withDatabase(async (database) => {
    const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
    await Promise.all([transaction.store.put(id, KEY), transaction.done]);
  });
}

/**
 * @template T
 * @param {(database: any) => Promise<T>} work
 * @returns {Promise<T | null>} null if IndexedDB is forbidden, missing or hangs
 */
async function withDatabase(work) {
  try {
    return await withTimeout(openDatabase().then(work), TIMEOUT_MS);
  } catch (error) {
    console.warn("stepkeep: the participant id is not stored in IndexedDB", error);
    return null;
  }
}

/** @returns {Promise<any>} */
async function openDatabase() {
  /** @type {any} */
  const callbacks = {
    upgrade(/** @type {any} */ database) {
      database.createObjectStore(STORE);
    },
  };
  return openDB(DATABASE, 1, callbacks);
}
