// @ts-check
/** Waiting for the browser's storage, which in some browsers hangs after an update or a crash. */

export class StorageHangs extends Error {}

/**
 * @template T
 * @param {Promise<T>} work
 * @param {number} withinMs
 * @returns {Promise<T>} rejects with `StorageHangs` when the time is over; the work itself goes on
 */
export function within(work, withinMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StorageHangs(`storage took more than ${withinMs} ms`)), withinMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
