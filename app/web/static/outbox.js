// @ts-check
/**
 * The commands that the server has not acknowledged yet, in the order in which they were given.
 *
 * The list in memory is what is sent; IndexedDB mirrors it, so that a closed tab or a crashed browser
 * loses nothing. Tabs of one participant share the mirror: a command may be sent by two of them, and
 * the server applies its id once. Where IndexedDB can't be had, the list in memory is all there is.
 */

import { openDB } from "./vendor/idb-8.0.4/index.js";

/** @typedef {import("./protocol.js").Command} Command */

const DATABASE = "stepkeep";
const STORE = "outbox";

export class Outbox {
  /** @type {Command[]} */
  #waiting = [];
  /** @type {Promise<any> | null} */
  #database = null;
  #owner;

  /**
   * @param {string} surveyId
   * @param {string} userId
   */
  constructor(surveyId, userId) {
    this.#owner = `${surveyId} ${userId}`; // neither id has a space
  }

  /** The waiting commands, oldest first. */
  get commands() {
    return [...this.#waiting];
  }

  get size() {
    return this.#waiting.length;
  }

  /**
   * Take in what earlier pages of this participant left unacknowledged; theirs go first.
   *
   * @returns {Promise<void>}
   */
  async load() {
    const known = new Set(this.#waiting.map((command) => command.id));
    const rows = await this.#try((database) => database.getAllFromIndex(STORE, "owner", this.#owner));
    for (const row of rows ?? []) known.delete(row.command.id);
    const kept = (rows ?? []).map((/** @type {{command: Command}} */ row) => row.command);
    this.#waiting = [...kept, ...this.#waiting.filter((command) => known.has(command.id))];
  }

  /** @param {Command} command */
  add(command) {
    this.#waiting.push(command);
    void this.#try(async (database) => {
      const transaction = database.transaction(STORE, "readwrite");
      const added = transaction.store.add({ owner: this.#owner, id: command.id, command });
      transaction.commit(); // without it a tab that is closed at once takes the transaction with it
      await Promise.all([added, transaction.done]);
    });
  }

  /**
   * Forget a command that the server has answered.
   *
   * @param {string} id
   * @returns {Command | undefined} the command, if it was waiting here
   */
  remove(id) {
    const command = this.#waiting.find((waiting) => waiting.id === id);
    this.#waiting = this.#waiting.filter((waiting) => waiting.id !== id);
    void this.#try(async (database) => {
      const transaction = database.transaction(STORE, "readwrite");
      const key = await transaction.store.index("id").getKey([this.#owner, id]);
      if (key !== undefined) await transaction.store.delete(key);
      await transaction.done;
    });
    return command;
  }

  /**
   * Do something with the database, or nothing where there is none (private modes, a full disk).
   *
   * @template T
   * @param {(database: any) => Promise<T>} work
   * @returns {Promise<T | null>}
   */
  async #try(work) {
    try {
      this.#database ??= openDB(DATABASE, 1, {
        upgrade(/** @type {any} */ database) {
          const store = database.createObjectStore(STORE, { autoIncrement: true });
          store.createIndex("owner", "owner");
          store.createIndex("id", ["owner", "id"], { unique: true });
        },
      });
      return await work(await this.#database);
    } catch (problem) {
      console.warn("stepkeep: the outbox is kept in memory only", problem);
      return null;
    }
  }
}
