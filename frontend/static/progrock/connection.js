// @ts-check
// The socket: opened, given up, and opened again, for as long as somebody wants it.

import { backoff } from './backoff.js';
import { isObject } from './snapshot.js';

/** @typedef {'connecting' | 'open' | 'closed'} ConnectionState open is after `hello` */

/**
 * What a test replaces.
 *
 * @typedef {object} Surroundings
 * @property {new (url: string) => WebSocket} [WebSocket]
 * @property {() => number} [random]
 * @property {() => number} [now] a clock that does not jump, in milliseconds
 */

/**
 * Who is told.
 *
 * @typedef {object} Listener
 * @property {() => void} changed the state
 * @property {(frame: Record<string, unknown>) => void} heard a frame, a `hello` only as the first
 * @property {() => void} back the network or the person is, and the socket seems to be open
 */

/** A connection that held this long has proved itself: the next failure is a first one. */
const STABLE = 10_000;
/** How long a connection may take until its `hello`. */
const PATIENCE = 10_000;

export class Connection {
  /** @type {ConnectionState} */ state = 'closed';
  /** @type {number | null} the Date.now() of the next try */ again = null;

  /** @type {string} */ #url;
  /** @type {Listener} */ #listener;
  /** @type {new (url: string) => WebSocket} */ #WebSocket;
  /** @type {() => number} */ #random;
  /** @type {() => number} */ #now;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} the next try, or the end of patience */ #timer;
  #attempt = 0;
  #opened = 0;
  #ended = false;

  /** @param {URL} endpoint @param {Listener} listener @param {Surroundings} surroundings */
  constructor(endpoint, listener, surroundings) {
    const url = new URL(endpoint);
    url.protocol = url.protocol.replace('http', 'ws');
    this.#url = url.href;
    this.#listener = listener;
    this.#WebSocket = surroundings.WebSocket ?? globalThis.WebSocket;
    this.#random = surroundings.random ?? Math.random;
    this.#now = surroundings.now ?? (() => performance.now());
    globalThis.addEventListener?.('online', this.#hurry);
    globalThis.document?.addEventListener('visibilitychange', this.#hurry);
  }

  /** Connect now, unless it does already. */
  connect() {
    if (this.#socket || this.#ended) return;
    clearTimeout(this.#timer);
    let socket;
    try {
      socket = new this.#WebSocket(this.#url);
    } catch (error) {
      console.warn('ProgRock: cannot open a socket', error);
      return this.drop();
    }
    this.#socket = socket;
    // A socket that was given up may still speak; it is no longer listened to.
    socket.onmessage = ({ data }) => socket === this.#socket && this.#receive(data);
    socket.onclose = ({ code }) => socket === this.#socket && this.drop(code);
    this.#timer = setTimeout(() => this.drop(), PATIENCE);
    this.#become('connecting');
  }

  /** @param {object} frame */
  send(frame) {
    if (this.state === 'open') this.#socket?.send(JSON.stringify(frame));
  }

  /** Give up this socket, and plan the next. @param {number} [code] */
  drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#timer);
    socket?.close();
    if (this.#ended) return this.#become('closed');
    if (this.state === 'open' && this.#now() - this.#opened >= STABLE) this.#attempt = 0;
    // Told to stay away for a while, by the server or a proxy before it: the longest wait at once.
    if (code === 4008 || code === 1008 || code === 1013) this.#attempt = Math.max(this.#attempt, 5);
    const wait = backoff(this.#attempt++, this.#random);
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#become('closed', Date.now() + wait);
  }

  /** For good. */
  end() {
    this.#ended = true;
    globalThis.removeEventListener?.('online', this.#hurry);
    globalThis.document?.removeEventListener('visibilitychange', this.#hurry);
    this.drop();
  }

  /** @param {ConnectionState} state @param {number | null} [again] */
  #become(state, again = null) {
    this.state = state;
    this.again = again;
    this.#listener.changed();
  }

  /** The network, or the person, is back: no reason to wait, and none to trust a socket that slept. */
  #hurry = () => {
    if (globalThis.document?.visibilityState === 'hidden') return;
    if (this.state === 'open') this.#listener.back();
    else if (this.again !== null) this.connect();
  };

  /** @param {unknown} text */
  #receive(text) {
    /** @type {unknown} */
    let frame;
    try {
      frame = typeof text === 'string' ? JSON.parse(text) : null;
    } catch {
      frame = null;
    }
    if (!isObject(frame)) return console.warn('ProgRock: ignored a frame that is no JSON object');
    if (frame.type === 'hello') {
      if (this.state === 'open') return;
      clearTimeout(this.#timer);
      this.#opened = this.#now();
      this.#become('open');
    }
    this.#listener.heard(frame);
  }
}
