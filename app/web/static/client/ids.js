// @ts-check
/** Ids made in this browser: of commands, and of a participant who came without one. */

const USER_ID = /^[A-Za-z0-9._@:-]{1,128}$/;
const URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const RANDOM_CHARACTERS = 22; // 22 of 64 characters: 132 random bits, as many as a UUID and more

/**
 * A new id for a command: a UUIDv7 (RFC 9562, 5.7) without its hyphens.
 *
 * It begins with the time, so that the server's index of ids grows at its end. Made of `getRandomValues`:
 * `crypto.randomUUID` exists in secure contexts only, and a clinic's server may be plain http on its own
 * network.
 *
 * @returns {string}
 */
export function newCommandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Date.now()) << 16n | BigInt(bytes[6] << 8 | bytes[7]));
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * A new participant id that nobody can guess.
 *
 * @returns {string}
 */
export function newUserId() {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_CHARACTERS));
  return `p-${Array.from(bytes, (byte) => URL_SAFE[byte % 64]).join("")}`;
}

/**
 * Whether the server takes this as a participant id.
 *
 * @param {string} text
 */
export function isUserId(text) {
  return USER_ID.test(text);
}
