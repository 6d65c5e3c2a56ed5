// @ts-check
/**
 * The commands that the server has not acknowledged yet, in the order in which they were given.
 *
 * The list in memory is what is sent; IndexedDB mirrors it, so that a closed tab, a killed browser or a
 * machine without power loses nothing. Tabs of one participant share the mirror: a command may be sent
 * by two of them, and the server applies its id once. Where IndexedDB can't be had, the list in memory
 * is all there is (`isDurable` tells).
 *
 * A command is stored and sent at the same time; neither waits for the other. To store it first would
 * only delay it: a tab that is killed before the store is done loses it in either order, unless the
 * server has it by then, which sending at once makes likelier. What was sent and not stored is either
 * with the server, or answered to a page that lives, or in the draft that the page keeps besides.
 */

import { StorageHangs, within } from "./timeout.js";
import { openDB } from "../vendor/idb-8.0.4/index.js";

/** @typedef {import("./protocol.js").Command} Command */

const DATABASE = "stepkeep";
const STORE = "outbox";
const ONCE_HUNG_MS = 100; // storage that hung once is asked again, but nobody waits long for it

export class Outbox {
  /** @type {Command[]} */
  #waiting = [];
  /** @type {Promise<any> | null} */
  #database = null;
  #isDurable = true;
  /** @type {Set<string>} what was answered while the mirror was being read */
  #removed = new Set();
  #owner;
  #withinMs;
  #patienceMs;

  /**
   * @param {string} surveyId
   * @param {string} userId
   * @param {number} withinMs the longest wait for IndexedDB
   */
  constructor(surveyId, userId, withinMs) {
    this.#owner = `${surveyId} ${userId}`; // neither id has a space
    this.#withinMs = this.#patienceMs = withinMs;
  }

  /** The waiting commands, oldest first. */
  get commands() {
    return [...this.#waiting];
  }

  get size() {
    return this.#waiting.length;
  }

  /** Whether what waits outlives the page, as far as is known. */
  get isDurable() {
    return this.#isDurable;
  }

  /**
   * Take in what earlier pages of this participant left unacknowledged; theirs go first.
   *
   * @returns {Promise<void>} after at most the time that storage is given
   */
  async load() {
    const rows = await this.#try((database) => database.getAllFromIndex(STORE, "owner", this.#owner));
    const kept = (rows ?? []).map((/** @type {{command: Command}} */ row) => row.command);
    // What this page knows keeps its own order: the mirror may lack one in the middle (a full disk), and may still
    // have one that was answered here and could not be deleted.
    const here = new Set(this.#waiting.map((command) => command.id));
    const isNews = (/** @type {Command} */ command) => !here.has(command.id) && !this.#removed.has(command.id);
    this.#waiting = [...kept.filter(isNews), ...this.#waiting];
  }

  /**
   * @param {Command} command
   * @returns {Promise<void>} when it is stored, or can't be
   */
  async add(command) {
    this.#waiting.push(command);
    await this.#try(async (database) => {
      // Strict: on the disk itself, not with the operating system, when the transaction is complete.
      const transaction = database.transaction(STORE, "readwrite", { durability: "strict" });
      const added = transaction.store.add({ owner: this.#owner, id: command.id, command });
      transaction.commit(); // without it a tab that is closed at once takes the transaction with it
      await Promise.all([added, transaction.done]);
    });
  }

  /**
   * Forget a command that the server has answered.
   *
   * @param {string} id
   */
  remove(id) {
    this.#waiting = this.#waiting.filter((waiting) => waiting.id !== id);
    this.#removed.add(id);
    void this.#try(async (database) => {
      const transaction = database.transaction(STORE, "readwrite");
      const key = await transaction.store.index("id").getKey([this.#owner, id]);
      if (key !== undefined) await transaction.store.delete(key);
      await transaction.done;
    });
  }

  /**
   * Do something with the database, or nothing where there is none (private modes, a full disk), or
   * where it doesn't come to an end: some browsers' storage hangs after an update or a crash.
   *
   * @template T
   * @param {(database: any) => Promise<T>} work
   * @returns {Promise<T | null>}
   */
  async #try(work) {
    const database = (this.#database ??= opened());
    try {
      const done = await within(database.then(work), this.#patienceMs);
      this.#isDurable = true;
      this.#patienceMs = this.#withinMs;
      return done;
    } catch (problem) {
      this.#isDurable = false;
      if (problem instanceof StorageHangs) this.#patienceMs = ONCE_HUNG_MS;
      else if (this.#database === database) this.#database = null; // it may be terminated: open it anew next time
      console.warn("stepkeep: the outbox is kept in memory only", problem);
      return null;
    }
  }
}

/** @returns {Promise<any>} rejects where IndexedDB is forbidden or missing */
async function opened() {
  return openDB(DATABASE, 1, {
    upgrade(/** @type {any} */ database) {
      const store = database.createObjectStore(STORE, { autoIncrement: true });
      store.createIndex("owner", "owner");
      store.createIndex("id", ["owner", "id"], { unique: true });
    },
  });
}
