// @ts-check
/** A timeout for the browser's storage, which hangs in some browsers after an update or a crash. */

export class StorageTimeout extends Error {}

/**
 * Settle as the promise does, or reject with `StorageTimeout`; the work itself is not cancelled.
 *
 * @template T
 * @param {Promise<T>} work
 * @param {number} timeoutMs
 * @returns {Promise<T>}
 */
export function withTimeout(work, timeoutMs) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StorageTimeout(`storage took more than ${timeoutMs} ms`)), timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
