// @ts-check
// One connection for all tabs of a browser: the tab that holds a lock has it, the others ask through that tab.

import { spread } from './backoff.js';
import { Connection } from './connection.js';
import { isObject } from './snapshot.js';

/** @typedef {import('./connection.js').Reason} Reason */
/** @typedef {import('./connection.js').Received} Received */

/** How long the tab that leads may take to answer another, in ms: else it is frozen, and somebody takes over. */
const PATIENCE = 3_000;

/**
 * To another tab this is a connection like any: when another tab takes over, that is a reconnect.
 *
 * Messages of who leads: `{from, to?, how?, hello?, frame?}`, of the others: `{from, ask}`, where `ask` is
 * a frame, `hi`, `bye`, `now` or `better`.
 */
export class Tabs {
  /** @type {import('./connection.js').ConnectionState} */ state = 'closed';
  /** @type {number | null} */ again = null;
  /** @type {Reason} */ reason = '';

  /** @type {string} */ #name;
  /** @type {URL} */ #endpoint;
  /** @type {import('./connection.js').Listener} */ #listener;
  /** @type {import('./connection.js').Surroundings} */ #surroundings;
  /** @type {LockManager} */ #locks;
  #me = String(crypto.getRandomValues(new Uint32Array(1))[0]);
  /** @type {BroadcastChannel | null} */ #channel = null;
  /** @type {AbortController | null} lets the lock go, or no longer wants it */ #hold = null;
  /** @type {Connection | null} of the tab that leads */ #connection = null;
  /** @type {Received} */ #hello = {};
  #leader = '';
  /** @type {Map<string, Set<string>>} the tabs that watch a job, or hear a channel */ #watchers = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #patience;

  /**
   * @param {string} name of the endpoint and of whom the page speaks for
   * @param {LockManager} locks
   * @param {URL} endpoint
   * @param {import('./connection.js').Listener} listener
   * @param {import('./connection.js').Surroundings} surroundings
   */
  constructor(name, locks, endpoint, listener, surroundings) {
    this.#name = name;
    this.#locks = locks;
    this.#endpoint = endpoint;
    this.#listener = listener;
    this.#surroundings = surroundings;
  }

  /** @param {boolean} [better] */
  connect(better) {
    if (this.#connection) return this.#connection.connect(better);
    if (this.#channel) return void (this.state !== 'open' || better ? this.#ask(better ? 'better' : 'now') : 0);
    this.#channel = new (this.#surroundings.BroadcastChannel ?? globalThis.BroadcastChannel)(this.#name);
    this.#channel.onmessage = ({ data }) => isObject(data) && data.from !== this.#me && this.#take(data);
    this.#become('connecting');
    this.#want(false);
    this.#ask('hi');
  }

  /** @param {import('./questions.js').Frame} frame */
  send(frame) {
    if (this.#connection) this.#pass(this.#me, frame);
    else this.#ask(frame);
  }

  /** Who leads does not answer. */
  drop() {
    if (this.#connection) this.#connection.drop();
    else this.#want(true);
  }

  /** Let go, and let another lead, until `connect`. @param {Reason} reason */
  close(reason) {
    clearTimeout(this.#patience);
    if (!this.#connection) this.#post({ ask: 'bye' });
    const connection = this.#connection;
    this.#connection = null;
    connection?.close('');
    this.#hold?.abort();
    this.#hold = null;
    this.#channel?.close();
    this.#channel = null;
    this.#become('closed', null, reason);
  }

  /** @param {import('./connection.js').ConnectionState} state @param {number | null} [again] @param {Reason} [reason] */
  #become(state, again = null, reason = '') {
    Object.assign(this, { state, again, reason });
    this.#listener.changed();
  }

  /** @param {object} said */
  #post(said) {
    this.#channel?.postMessage({ from: this.#me, ...said });
  }

  // One of the others

  /** @param {unknown} ask */
  #ask(ask) {
    // Who has let go waits for nobody.
    if (this.#connection || !this.#channel) return;
    this.#post({ ask });
    this.#patience ??= setTimeout(() => this.#want(true), spread(PATIENCE, this.#surroundings.random));
  }

  /** Wait for the lock, or take it. @param {boolean} steal */
  #want(steal) {
    this.#trust();
    this.#hold?.abort();
    const hold = new AbortController();
    const { signal } = hold;
    this.#hold = hold;
    const lead = () =>
      new Promise((release) => {
        if (signal.aborted) return release(0);
        signal.addEventListener('abort', release);
        this.#lead();
      });
    this.#locks.request(this.#name, steal ? { steal } : { signal }, lead).catch(({ name }) => {
      if (this.#hold !== hold) return;
      // The page may not have locks (a sandbox, storage that is blocked): each of its tabs is on its own.
      if (name !== 'AbortError') return this.#lead();
      // Another tab took it: we must have seemed to be frozen.
      const stolen = this.#connection;
      this.#connection = null;
      stolen?.close('');
      this.#become('connecting');
      this.#want(false);
      this.#ask('hi');
    });
  }

  /** Who leads is there. */
  #trust() {
    clearTimeout(this.#patience);
    this.#patience = undefined;
  }

  /** @param {Received} said */
  #take({ from, to, ask, how, hello, frame }) {
    if (ask) return this.#connection && this.#serve(String(from), ask);
    if (this.#connection) return;
    if (isObject(how)) this.#leader = String(from);
    // One that led may not know yet that it does no longer.
    if (from !== this.#leader) return;
    this.#trust();
    if (isObject(how) && (!to || to === this.#me)) {
      const { state, again, reason } = /** @type {any} */ (how);
      this.#become(state, again, reason);
      if (this.state === 'open' && isObject(hello)) this.#listener.heard(hello);
    }
    if (!isObject(frame)) return;
    if (!to || to === this.#me) return this.#listener.heard(frame);
    this.#overhear(frame);
  }

  /** What one tab is told of a job is news to the others. @param {Received} frame */
  #overhear(frame) {
    const { type, ref, resume, ...rest } = frame;
    if (type === 'snapshot' || type === 'accepted') this.#listener.heard({ type: 'update', ...rest });
  }

  // The one that leads

  #lead() {
    this.#trust();
    this.#watchers.clear();
    const listener = {
      changed: () => {
        const { state, again, reason } = connection;
        if (this.#connection !== connection) return;
        if (state !== 'open') this.#tell();
        this.#become(state, again, reason);
      },
      heard: (/** @type {Received} */ frame) => this.#spread(frame),
    };
    const connection = new Connection(this.#endpoint, listener, this.#surroundings);
    this.#connection = connection;
    connection.connect();
  }

  /** How the connection is. @param {string} [to] */
  #tell(to) {
    const { state, again, reason } = this.#connection ?? this;
    this.#post({ to, how: { state, again, reason }, hello: this.#hello });
  }

  /** @param {Received} frame */
  #spread(frame) {
    if (frame.type === 'hello') {
      this.#watchers.clear();
      this.#hello = frame;
      this.#tell();
      return this.#listener.heard(frame);
    }
    const [, to, ref] = /^(\d+)\.(.*)$/.exec(String(frame.ref)) ?? [];
    const told = to ? { ...frame, ref } : frame;
    if (to && frame.type === 'accepted') this.#watch(frame, to);
    this.#post({ to, frame: told });
    if (!to || to === this.#me) this.#listener.heard(told);
    else this.#overhear(frame);
  }

  /** @param {string} from @param {unknown} ask */
  #serve(from, ask) {
    if (ask === 'bye') {
      for (const topic of this.#watchers.keys()) {
        const about = JSON.parse(topic);
        this.#pass(from, { action: about.job ? 'unwatch' : 'unsubscribe', ...about });
      }
    } else if (isObject(ask)) {
      this.#pass(from, /** @type {any} */ (ask));
    } else {
      // A new page is a reason to try again, whatever was before.
      this.#connection?.connect(ask === 'better');
    }
    if (ask === 'hi') this.#tell(from);
    else this.#post({ to: from });
  }

  /** @param {{job?: unknown, channel?: unknown}} what @param {string} tab */
  #watch({ job, channel }, tab) {
    const topic = JSON.stringify({ job, channel });
    this.#watchers.set(topic, new Set(this.#watchers.get(topic)).add(tab));
  }

  /** @param {string} tab @param {import('./questions.js').Frame} frame */
  #pass(tab, { ref, ...frame }) {
    const { action, job, channel } = frame;
    if (action === 'watch' || action === 'subscribe') this.#watch(frame, tab);
    if (action === 'unwatch' || action === 'unsubscribe') {
      const topic = JSON.stringify({ job, channel });
      const watchers = this.#watchers.get(topic);
      if (!watchers?.delete(tab) || watchers.size) return;
      this.#watchers.delete(topic);
    }
    this.#connection?.send({ ...frame, ...(ref && { ref: `${tab}.${ref}` }) });
  }
}
