// @ts-check
/** Ids of commands and participants. */

const USER_ID = /^[A-Za-z0-9._@:-]{1,128}$/;
const URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const RANDOM_CHARACTERS = 22; // of 64: 132 random bits; a UUID has 122

/**
 * Return a new command id: a UUIDv7 (RFC 9562, section 5.7) without hyphens.
 *
 * It starts with the time, so that the server's index of ids grows at its end. `crypto.randomUUID` is not used because
 * it is missing outside secure contexts, and a clinic may serve plain http on its own network.
 */
export function newCommandId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  new DataView(bytes.buffer).setBigUint64(0, BigInt(Date.now()) << 16n | BigInt(bytes[6] << 8 | bytes[7]));
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return a new participant id that cannot be guessed. */
export function newUserId() {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_CHARACTERS));
  return `p-${Array.from(bytes, (byte) => URL_SAFE[byte % 64]).join("")}`;
}

/**
 * Whether the server accepts the text as a participant id.
 *
 * @param {string} text
 */
export function isUserId(text) {
  return USER_ID.test(text);
}
