// @ts-check
/**
 * Queue of unacknowledged commands, oldest first, in memory and mirrored in IndexedDB.
 *
 * The mirror survives a closed tab, a killed browser and a power failure. Tabs of one participant share it: two of
 * them may send the same command, and the server applies its id once. Without IndexedDB the queue is in memory only
 * (`isDurable` is false).
 *
 * A command is stored and sent at the same time. Storing it first would only delay it: a tab killed before the store
 * completes loses the command either way, unless the server already has it.
 */

import { openDB } from "./vendor/idb-8.0.4/index.js";
import { StorageTimeout, withTimeout } from "./timeout.js";

/** @typedef {import("./protocol.js").Command} Command */

const DATABASE = "stepkeep";
const STORE = "outbox";
const READ_TIMEOUT_MS = 2_000;
const RETRY_TIMEOUT_MS = 100; // after storage has hung once, it is tried again but never waited for long

export class Outbox {
  /** @type {Command[]} */
  #queue = [];
  /** @type {Promise<any> | null} */
  #database = null;
  #isDurable = true;
  /** @type {Set<string>} ids acknowledged in this page; the mirror may still have them */
  #removed = new Set();
  #owner;
  #fullTimeoutMs;
  #timeoutMs;

  /**
   * @param {string} surveyId
   * @param {string} userId
   * @param {number} timeoutMs the longest wait for IndexedDB
   */
  constructor(surveyId, userId, timeoutMs) {
    this.#owner = `${surveyId} ${userId}`; // neither id contains a space
    this.#fullTimeoutMs = this.#timeoutMs = timeoutMs;
  }

  /** The queued commands, oldest first. */
  get commands() {
    return [...this.#queue];
  }

  get size() {
    return this.#queue.length;
  }

  /** Whether the queue outlives the page, as far as is known. */
  get isDurable() {
    return this.#isDurable;
  }

  /**
   * Put the commands that earlier pages of this participant left in the mirror at the front of the queue.
   *
   * @returns {Promise<void>} resolves after the storage timeout at the latest
   */
  async load() {
    const rows = await this.#withDatabase((database) => database.getAllFromIndex(STORE, "owner", this.#owner));
    const stored = (rows ?? []).map((/** @type {{command: Command}} */ row) => row.command);
    // The queue in memory keeps its order: the mirror may lack a command in the middle (a full disk), or still have
    // one that was acknowledged here but could not be deleted.
    const queued = new Set(this.#queue.map((command) => command.id));
    const isNew = (/** @type {Command} */ command) => !queued.has(command.id) && !this.#removed.has(command.id);
    this.#queue = [...stored.filter(isNew), ...this.#queue];
  }

  /**
   * Append a command.
   *
   * @param {Command} command
   * @returns {Promise<void>} resolves when it is stored or can't be
   */
  async add(command) {
    this.#queue.push(command);
    await this.#withDatabase(async (database) => {
      // strict: the transaction completes when the data is on the disk, not in the operating system's cache
      const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
      const added = transaction.store.add({ owner: this.#owner, id: command.id, command });
      transaction.commit(); // without it, closing the tab aborts the transaction
      await Promise.all([added, transaction.done]);
    });
  }

  /**
   * Remove an acknowledged command.
   *
   * @param {string} id
   */
  remove(id) {
    this.#queue = this.#queue.filter((command) => command.id !== id);
    this.#removed.add(id);
    void this.#withDatabase(async (database) => {
      const transaction = database.transaction(STORE, "readwrite");
      const key = await transaction.store.index("id").getKey([this.#owner, id]);
      if (key !== undefined) await transaction.store.delete(key);
      await transaction.done;
    });
  }

  /**
   * Run work on the database and record in `isDurable` whether it succeeded in time.
   *
   * @template T
   * @param {(database: any) => Promise<T>} work
   * @returns {Promise<T | null>} null if IndexedDB is forbidden, missing, full or hangs
   */
  async #withDatabase(work) {
    const database = (this.#database ??= openDatabase());
    try {
      const result = await withTimeout(database.then(work), this.#timeoutMs);
      this.#isDurable = true;
      this.#timeoutMs = this.#fullTimeoutMs;
      return result;
    } catch (error) {
      this.#isDurable = false;
      if (error instanceof StorageTimeout) this.#timeoutMs = RETRY_TIMEOUT_MS;
      else if (this.#database === database) this.#database = null; // it may be closed: open it again next time
      console.warn("stepkeep: commands are kept in memory only, IndexedDB failed", error);
      return null;
    }
  }
}

/**
 * Return the owner of each stored command, "survey participant".
 *
 * @returns {Promise<string[] | null>} null if IndexedDB is forbidden, missing or hangs
 */
export async function storedOwners() {
  try {
    return await withTimeout(openDatabase().then(readOwners), READ_TIMEOUT_MS);
  } catch {
    return null;
  }
}

/**
 * @param {any} database closed afterwards: an open one would hold up its deletion
 * @returns {Promise<string[]>}
 */
async function readOwners(database) {
  const rows = await database.getAll(STORE);
  database.close();
  return rows.map((/** @type {{owner: string}} */ row) => row.owner);
}

/** @returns {Promise<any>} */
async function openDatabase() {
  /** @type {any} */
  const callbacks = {
    upgrade(/** @type {any} */ database) {
      const store = database.createObjectStore(STORE, { autoIncrement: true });
      store.createIndex("owner", "owner");
      store.createIndex("id", ["owner", "id"], { unique: true });
    },
  };
  return openDB(DATABASE, 1, callbacks);
}
