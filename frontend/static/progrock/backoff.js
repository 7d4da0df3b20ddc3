// @ts-check
// How long to wait: before the next connection, and before silence is no longer trusted.

/** The longest first wait before a reconnect, in milliseconds. */
export const BASE = 500;
/** The longest wait before any reconnect, in milliseconds. */
export const CAP = 15_000;

/**
 * The wait before reconnect number `attempt` (from 0): exponential with full jitter, so that the clients
 * of a restarted server do not all come back in the same instant.
 *
 * @param {number} attempt
 * @param {() => number} [random] as Math.random
 */
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(CAP, BASE * 2 ** Math.max(0, attempt));
}

/**
 * `duration` give or take a fifth, so that what fell silent together is not asked for together.
 *
 * @param {number} duration
 * @param {() => number} [random]
 */
export function spread(duration, random = Math.random) {
  return duration * (0.8 + 0.4 * random());
}
