// @ts-check
// The connection: opened in the best way that works here, given up, and opened again, for as long as somebody wants it.

import { backoff } from './backoff.js';
import { poll, stream } from './http.js';
import { socket } from './socket.js';

/** @typedef {'connecting' | 'open' | 'closed'} ConnectionState open is after `hello` */
/** @typedef {'' | 'signed-out' | 'paused' | 'ended'} Reason why it is closed and does not come back by itself */
/** @typedef {Record<string, unknown>} Received a frame of the server's */

/**
 * One way to the server: takes questions, gives frames.
 *
 * @typedef {object} Way
 * @property {(frame: import('./questions.js').Frame) => void} send
 * @property {() => void} close nothing is told after that
 */

/**
 * How a way ended: with a close code; with a wait in ms that the server wants; open, but letting nothing through
 * (`mute`); or never open (`hung`).
 *
 * @typedef {{code?: number, wait?: number, mute?: boolean, hung?: boolean}} End
 */

/** @typedef {{heard: (frame: Received) => void, gone: (end: End) => void}} Told by a way, `hello` first */

/**
 * What a test replaces.
 *
 * @typedef {object} Surroundings
 * @property {new (url: string) => WebSocket} [WebSocket]
 * @property {new (url: string) => EventSource} [EventSource]
 * @property {typeof fetch} [fetch]
 * @property {LockManager | null} [locks] null: none
 * @property {new (name: string) => BroadcastChannel} [BroadcastChannel]
 * @property {() => number} [random]
 * @property {() => number} [now] a clock that does not jump, in milliseconds
 * @property {string} [who] a word for whom the page speaks for
 */

/**
 * Who is told.
 *
 * @typedef {object} Listener
 * @property {() => void} changed the state
 * @property {(frame: Received) => void} heard a frame; each `hello` is of a server that knows nothing of us
 */

/** @typedef {{level: number, way: Way | null, timer: ReturnType<typeof setTimeout>}} Link */

/** From the best to the one that works everywhere. */
const WAYS = [socket, stream, poll];
/** A connection that held this long, in ms, has proved itself: the next failure is a first one. */
const STABLE = 10_000;
/** How long a connection may take until its `hello`, in ms. */
const PATIENCE = 10_000;
/** How soon to try a better way again, in ms; doubled four times. */
const BETTER = 60_000;
/** Frames a second, well below what the server calls abuse: a page may show hundreds of jobs. */
const PACE = 80;
/** Close codes by which the server, or a proxy before it, says to stay away for a while. */
const AWAY = [1008, 1013, 4008, 4013, 4429];
/** The close code by which the server says that we are not who we were. */
const SESSION = 4401;

export class Connection {
  /** @type {ConnectionState} */ state = 'closed';
  /** @type {number | null} the Date.now() of the next try */ again = null;
  /** @type {Reason} */ reason = '';

  /** @type {URL} */ #endpoint;
  /** @type {Listener} */ #listener;
  /** @type {Surroundings} */ #surroundings;
  /** @type {() => number} */ #random;
  /** @type {() => number} */ #now;
  /** @type {Link | null} that which said hello */ #link = null;
  /** @type {Link | null} that which is to */ #trial = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} until the next try, of any way or of a better one */ #timer;
  /** @type {import('./questions.js').Frame[]} */ #outbox = [];
  /** Whether we were sent away, and are back to see who we are now. */ #returned = false;
  #budget = PACE;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #refill;
  #level = 0;
  #failures = 0;
  #hopes = 0;
  #attempt = 0;
  #opened = 0;

  /** @param {URL} endpoint @param {Listener} listener @param {Surroundings} surroundings */
  constructor(endpoint, listener, surroundings) {
    this.#endpoint = new URL(endpoint);
    this.#listener = listener;
    this.#surroundings = surroundings;
    this.#random = surroundings.random ?? Math.random;
    this.#now = surroundings.now ?? (() => performance.now());
  }

  /** Connect now, unless it does already. @param {boolean} [better] whether to look for a better way, too */
  connect(better) {
    if (this.#trial) return;
    if (this.#link) return better && this.#level ? this.#try(0) : undefined;
    this.#try(this.#level);
    if (this.#trial) this.#become('connecting');
  }

  /** @param {import('./questions.js').Frame} frame */
  send(frame) {
    if (!this.#link) return;
    this.#outbox.push(frame);
    this.#flush();
  }

  /** Give up this link, which seems to be dead, and plan the next. */
  drop() {
    if (this.#link) this.#lost(this.#link, {});
  }

  /** Let go, until `connect`. @param {Reason} reason */
  close(reason) {
    for (const link of [this.#link, this.#trial]) if (link) this.#end(link);
    clearTimeout(this.#timer);
    this.#become('closed', null, reason);
  }

  /** @param {number} level */
  #try(level) {
    clearTimeout(this.#timer);
    /** @type {Link} */
    const link = { level, way: null, timer: setTimeout(() => this.#lost(link, { hung: true }), PATIENCE) };
    this.#trial = link;
    try {
      const told = {
        heard: (/** @type {Received} */ frame) => this.#heard(link, frame),
        gone: (/** @type {End} */ end) => this.#lost(link, end),
      };
      link.way = (WAYS[level] ?? poll)(this.#endpoint, told, this.#surroundings);
    } catch (error) {
      console.warn('ProgRock: cannot connect', error);
      this.#lost(link, {});
    }
  }

  /** @param {Link} link */
  #end(link) {
    clearTimeout(link.timer);
    if (this.#link === link) this.#link = null;
    if (this.#trial === link) this.#trial = null;
    link.way?.close();
  }

  /** @param {Link} link @param {Received} frame */
  #heard(link, frame) {
    // A way that was given up may still speak; it is no longer listened to.
    if (link === this.#link) {
      if (frame.type === 'hello') return;
      if ('ack' in frame) link.way?.send({ action: 'ack', ack: frame.ack });
      return this.#listener.heard(frame);
    }
    if (link !== this.#trial || frame.type !== 'hello') return;
    clearTimeout(link.timer);
    this.#trial = null;
    if (this.#link) this.#end(this.#link);
    this.#link = link;
    this.#level = link.level;
    this.#failures = 0;
    this.#opened = this.#now();
    this.#outbox = [];
    if (link.level) this.#hope();
    else this.#hopes = 0;
    this.#become('open');
    this.#listener.heard(frame);
  }

  /** A better way may work later. */
  #hope() {
    const wait = BETTER * 2 ** Math.min(4, this.#hopes) * (1 + this.#random());
    this.#timer = setTimeout(() => this.#try(this.#hopes++ % this.#level), wait);
  }

  /** @param {Link} link @param {End} end */
  #lost(link, { code = 0, wait = 0, mute = false, hung = false }) {
    const trial = link === this.#trial;
    if (!trial && link !== this.#link) return;
    const stable = !trial && this.#now() - this.#opened >= STABLE;
    this.#end(link);
    if (code === SESSION) return this.#doubt(this.#returned && !stable);
    if (this.#link) return this.#hope();
    if (stable) this.#attempt = 0;
    if (AWAY.includes(code)) this.#attempt = Math.max(this.#attempt, 5);
    else if (trial || mute) this.#failed(link.level, trial, hung);
    // Something better was being tried: that goes on.
    if (this.#trial) return this.#become('connecting');
    const pause = Math.max(wait, backoff(this.#attempt++, this.#random));
    this.#timer = setTimeout(() => this.connect(), pause);
    this.#become('closed', Date.now() + pause);
  }

  /** A new login may be there: look once, and from then on let the server compare. @param {boolean} again */
  #doubt(again) {
    this.close(again ? 'signed-out' : '');
    this.#returned = !again;
    const { who } = this.#surroundings;
    if (who) this.#endpoint.searchParams.set('who', who);
    if (!again) this.connect();
  }

  /** Which way next? @param {number} level @param {boolean} trial it never was open @param {boolean} hung */
  #failed(level, trial, hung) {
    if (!level) {
      this.#failures += hung ? 2 : 1;
      if (this.#failures > 1) this.#level = 1;
    } else if (!trial) {
      this.#level = 2;
    } else {
      // The server does not answer at all: that says nothing of its ways.
      this.#level = this.#failures = 0;
    }
  }

  /** @param {ConnectionState} state @param {number | null} [again] @param {Reason} [reason] */
  #become(state, again = null, reason = '') {
    Object.assign(this, { state, again, reason });
    this.#listener.changed();
  }

  #flush() {
    while (this.#budget > 0 && this.#outbox.length) {
      const frame = this.#outbox.shift();
      if (frame) this.#link?.way?.send(frame);
      this.#budget -= 1;
    }
    this.#refill ??= setTimeout(() => {
      this.#refill = undefined;
      this.#budget = PACE;
      if (this.#outbox.length) this.#flush();
    }, 1000);
  }
}
