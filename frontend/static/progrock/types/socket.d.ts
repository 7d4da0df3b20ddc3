/**
 * The frame in a text, or an empty one.
 *
 * @param {unknown} text
 * @returns {Record<string, unknown>}
 */
export function parse(text: unknown): Record<string, unknown>;
/**
 * Where something below an endpoint is, with what the endpoint's own query has: the token of a share link.
 *
 * @param {string} path
 * @param {URL} endpoint
 */
export function below(path: string, endpoint: URL): string;
/**
 * @param {URL} endpoint
 * @param {import('./connection.js').Told} told
 * @param {import('./connection.js').Surroundings} surroundings
 * @returns {import('./connection.js').Way}
 */
export function socket(endpoint: URL, told: import("./connection.js").Told, surroundings: import("./connection.js").Surroundings): import("./connection.js").Way;
