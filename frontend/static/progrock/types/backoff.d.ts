/**
 * The wait before reconnect number `attempt` (from 0): exponential with full jitter, so that the clients
 * of a restarted server do not all come back in the same instant.
 *
 * @param {number} attempt
 * @param {() => number} [random] as Math.random
 */
export function backoff(attempt: number, random?: () => number): number;
/**
 * `duration` give or take a fifth, so that what fell silent together is not asked for together.
 *
 * @param {number} duration
 * @param {() => number} [random]
 */
export function spread(duration: number, random?: () => number): number;
/** The longest first wait before a reconnect, in milliseconds. */
export const BASE: 500;
/** The longest wait before any reconnect, in milliseconds. */
export const CAP: 15000;
