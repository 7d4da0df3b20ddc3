// @ts-check
// The best way to the server: a websocket.

import { isObject } from './snapshot.js';

/**
 * The frame in a text, or an empty one.
 *
 * @param {unknown} text
 * @returns {Record<string, unknown>}
 */
export function parse(text) {
  try {
    const frame = typeof text === 'string' && JSON.parse(text);
    if (isObject(frame)) return frame;
  } catch {
    // as below
  }
  console.warn('ProgRock: ignored a frame that is no JSON object');
  return {};
}

/**
 * Where something below an endpoint is, with what the endpoint's own query has: the token of a share link.
 *
 * @param {string} path
 * @param {URL} endpoint
 */
export function below(path, endpoint) {
  const url = new URL(path, endpoint);
  for (const [name, value] of endpoint.searchParams) url.searchParams.append(name, value);
  return url.href;
}

/**
 * @param {URL} endpoint
 * @param {import('./connection.js').Told} told
 * @param {import('./connection.js').Surroundings} surroundings
 * @returns {import('./connection.js').Way}
 */
export function socket(endpoint, told, surroundings) {
  const url = new URL(endpoint);
  url.protocol = url.protocol.replace('http', 'ws');
  const made = new (surroundings.WebSocket ?? globalThis.WebSocket)(url.href);
  made.onmessage = ({ data }) => told.heard(parse(data));
  made.onclose = ({ code }) => told.gone({ code });
  return { send: (frame) => made.send(JSON.stringify(frame)), close: () => made.close() };
}
