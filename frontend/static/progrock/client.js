// @ts-check
// The client of the wire protocol: what it knows of which jobs, and when it asks again.

import { spread } from './backoff.js';
import { Connection } from './connection.js';
import { follow } from './follow.js';
import { Journal } from './journal.js';
import { Presence } from './presence.js';
import { ProgRockError, Questions } from './questions.js';
import { isObject, readSnapshot, supersedes } from './snapshot.js';
import { below } from './socket.js';
import { Tabs } from './tabs.js';

export { ProgRockError };

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {import('./journal.js').Line} Line */
/** @typedef {import('./questions.js').Frame} Frame */
/** @typedef {{job: string, lines: Line[], reset: boolean, resume: 'recovered' | 'reset' | null}} Lines */
/** @typedef {Pick<Connection, 'state' | 'again' | 'reason'>} Connected */

/**
 * `who`: a word for whom the page speaks for, without which the tabs of a browser do not share a connection (default:
 * the content of `<meta name="progrock-who">`). `background`: stay connected however long the page is hidden.
 *
 * @typedef {import('./connection.js').Surroundings & {who?: string, background?: boolean}} Options
 */

/** @type {Readonly<Record<string, string>>} */
const ANSWERS = {
  start: 'accepted', watch: 'snapshot', cancel: 'snapshot', retry: 'accepted', list: 'jobs', subscribe: 'subscribed', ping: 'pong',
};

/** For how long a hidden page stays connected, in ms. */
const HIDDEN = 300_000;
/** How soon to ask for lines that are missing, in ms. */
const HOLE = 1000;
/** Of how many jobs that are over, and that nobody watches, the end is remembered. */
const MOST = 500;
/** Timers that are this late, in ms, have slept. */
const SLEPT = 5000;

/** @type {Map<string, ProgRock>} */
const shared = new Map();

const ignore = () => {};

/** A random name; crypto.randomUUID is missing where the page is not a secure context. */
const unique = () => crypto.getRandomValues(new Uint32Array(4)).join('-');

/**
 * How old a snapshot was when the server gave it as an answer: server time against server time.
 *
 * @param {Record<string, unknown>} frame
 * @param {Snapshot} snapshot
 */
const age = ({ now }, snapshot) => (typeof now === 'number' ? Math.max(0, now - snapshot.at) : 0);

/** Whom the page says that it speaks for. */
const who = () =>
  /** @type {HTMLMetaElement | null | undefined} */ (globalThis.document?.querySelector('meta[name=progrock-who]'))?.content;

/**
 * Events: `state`, whose detail is `{state, again, reason}` (`again`: the Date.now() of the next try, or null;
 * `reason`: why there will be none); `snapshot`, whose detail is the Snapshot; `lines`, before the snapshot that
 * counts them, whose detail is `{job, lines, reset, resume}`: the new ones, and whether those from before are void;
 * `jobs`, after a list was answered, also to a question of the client's own, whose detail is the Snapshots in it;
 * `refused`, whose detail is `{job, code, message}`, or with `channel`: the server will not let us watch that; `event`, whose detail is
 * `{channel, event, data}`: somebody's word to a channel that is subscribed to.
 */
export class ProgRock extends EventTarget {
  /** @type {URL} */ #endpoint;
  /** @type {() => number} */ #random;
  /** @type {() => number} */ #now;
  /** Whether to stay connected however long the page is hidden. */ background = false;

  /** @type {Connection | Tabs} */ #connection;
  /** @type {Presence} */ #presence;
  /** @type {Questions} */ #questions;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #pulse;
  #quiet = 12_000;
  #last = 0;
  #ended = false;
  #listing = false;
  /** When to ask for the list again that was refused. */ #relist = Infinity;
  /** When to subscribe again where that could not be. */ #rejoin = Infinity;
  #paused = false;
  /** @type {Map<string, {snapshot: Snapshot, came: number, told: number}>} */ #held = new Map();
  /** @type {Map<string, Journal>} */ #journals = new Map();
  /** @type {Map<string, number>} how many here want that job */ #wanted = new Map();
  /** @type {Map<string, number>} when to ask for that unfinished job again */ #followed = new Map();
  /** @type {Map<string, number>} how many here hear that channel */ #channels = new Map();

  /**
   * @param {string} [endpoint] a path, or an address of http, https, ws or wss
   * @param {Options} [options]
   */
  constructor(endpoint = '/prog/', options = {}) {
    super();
    this.background = options.background ?? false;
    this.#endpoint = new URL(endpoint, globalThis.location?.href);
    this.#random = options.random ?? Math.random;
    this.#now = options.now ?? (() => performance.now());
    const listener = {
      changed: () => this.#changed(),
      heard: (/** @type {Record<string, unknown>} */ frame) => this.#hear(frame),
    };
    const { locks = globalThis.navigator?.locks } = options;
    const name = options.who ?? who();
    const surroundings = { ...options, who: name };
    this.#connection =
      locks && name
        ? new Tabs(`progrock ${this.#endpoint.href} ${name}`, locks, this.#endpoint, listener, surroundings)
        : new Connection(this.#endpoint, listener, surroundings);
    this.#presence = new Presence({ away: (frozen) => this.#away(frozen), back: (online) => this.#back(online) }, HIDDEN);
    this.#questions = new Questions((frame) => this.#connection.send(frame), this.#now);
  }

  /**
   * The one client this page has for an endpoint.
   *
   * @param {string} [endpoint]
   * @param {Options} [options] those of who comes first, but for `background`, which anybody may ask for
   */
  static shared(endpoint = '/prog/', options = {}) {
    const { href } = new URL(endpoint, globalThis.location?.href);
    const client = shared.get(href) ?? new ProgRock(href, options);
    client.background ||= options.background ?? false;
    shared.set(href, client);
    return client;
  }

  /** @returns {Connected} */
  get connection() {
    const { state, again, reason } = this.#connection;
    return { state, again, reason };
  }

  /**
   * The lines of a job's journal that are known here, by their numbers.
   *
   * @param {string} job
   * @returns {readonly Line[]}
   */
  lines(job) {
    return this.#journals.get(job)?.lines ?? [];
  }

  /**
   * The last word on a job, how many milliseconds ago that was, and how many of them were over when the server
   * last had nothing newer.
   *
   * @param {string} job
   * @returns {{snapshot: Snapshot, since: number, told: number} | null}
   */
  last(job) {
    const held = this.#held.get(job);
    return held ? { snapshot: held.snapshot, since: this.#now() - held.came, told: held.told - held.came } : null;
  }

  /**
   * Where the finished file of a job is.
   *
   * @param {string} job
   */
  file(job) {
    const base = new URL(this.#endpoint);
    base.protocol = base.protocol.replace('ws', 'http');
    return below(`jobs/${encodeURIComponent(job)}/file`, base);
  }

  /**
   * Start a job and follow it. The same `key` is the same job, however often it is sent.
   *
   * @param {{service?: string, params?: Record<string, unknown>, key?: string}} [wish]
   * @returns {Promise<Snapshot>}
   */
  start({ service, params, key = unique() } = {}) {
    return this.#ask({ action: 'start', service, params, key });
  }

  /**
   * Follow a job until `unwatch`, over reconnects and silence. Resolves with the first snapshot; what else
   * comes of it is told by events, so that the promise may be left alone.
   *
   * @param {string} job
   * @returns {Promise<Snapshot>}
   */
  watch(job) {
    this.#wanted.set(job, (this.#wanted.get(job) ?? 0) + 1);
    const held = this.#held.get(job)?.snapshot;
    if (!held || held.cut || !(held.complete || this.#followed.has(job))) return this.#look(job);
    // A list brings no lines.
    if ((this.#journals.get(job) ?? new Journal()).lacks(held)) this.#look(job).catch(ignore);
    return Promise.resolve(held);
  }

  /**
   * The snapshots of a job as they come, the newest if they come faster than they are taken, the last one complete.
   *
   * @param {string} job
   * @returns {AsyncIterableIterator<Snapshot>} throws a ProgRockError if the job is not known, or the client closed
   */
  follow(job) {
    return follow(this, job);
  }

  /**
   * The opposite of one `watch`.
   *
   * @param {string} job
   */
  unwatch(job) {
    const count = (this.#wanted.get(job) ?? 0) - 1;
    if (count > 0) return void this.#wanted.set(job, count);
    if (!this.#wanted.delete(job)) return;
    this.#journals.delete(job);
    if (!this.#listing) {
      this.#followed.delete(job);
      this.#held.delete(job);
    }
    this.#undo('watch', { job });
  }

  /**
   * Ask for a job to be cancelled.
   *
   * @param {string} job
   * @returns {Promise<Snapshot>}
   */
  cancel(job) {
    return this.#ask({ action: 'cancel', job });
  }

  /**
   * Try a job again that is over: start the new job that does, and follow it.
   *
   * @param {string} job
   * @returns {Promise<Snapshot>}
   */
  retry(job) {
    return this.#ask({ action: 'retry', job });
  }

  /**
   * My newest jobs, newest first; from then on, the snapshots of all of mine come by themselves.
   *
   * @returns {Promise<Snapshot[]>}
   */
  list() {
    this.#listing = true;
    this.#relist = Infinity;
    const answer = this.#questions.find('list')?.answer ?? this.#ask({ action: 'list' });
    answer.catch(() => (this.#relist = this.#next()));
    return answer;
  }

  /**
   * Hear the events of a channel until `unsubscribe`, over reconnects: `me`, the id of a job of mine, or a name that the
   * site lets me hear. Resolves once they come; what else comes of it is told by `refused`.
   *
   * @param {string} channel
   * @returns {Promise<void>}
   */
  subscribe(channel) {
    this.#channels.set(channel, (this.#channels.get(channel) ?? 0) + 1);
    return this.#join(channel);
  }

  /**
   * The opposite of one `subscribe`.
   *
   * @param {string} channel
   */
  unsubscribe(channel) {
    const count = (this.#channels.get(channel) ?? 0) - 1;
    if (count > 0) this.#channels.set(channel, count);
    else if (this.#channels.delete(channel)) this.#undo('subscribe', { channel });
  }

  /**
   * Call a function with what each event of that name says, on a channel that is subscribed to.
   *
   * @param {string} channel
   * @param {string} event
   * @param {(data: any) => void} then
   * @param {AddEventListenerOptions} [options]
   */
  on(channel, event, then, options) {
    const hear = (/** @type {any} */ { detail }) => detail.channel === channel && detail.event === event && then(detail.data);
    this.addEventListener('event', hear, options);
  }

  /** Connect now. Everything that needs a connection does this by itself. */
  connect() {
    if (this.#ended) return;
    this.#paused = false;
    this.#presence.wait();
    this.#connection.connect();
  }

  /** End this client for good. */
  close() {
    this.#ended = true;
    if (shared.get(this.#endpoint.href) === this) shared.delete(this.#endpoint.href);
    this.#presence.end();
    this.#connection.close('ended');
    this.#questions.abandon(() => true, new ProgRockError('closed', 'The client was closed.'));
  }

  // Asking

  /** @param {Frame} frame @returns {Promise<any>} */
  #ask(frame) {
    if (this.#ended) return Promise.reject(new ProgRockError('closed', 'The client was closed.'));
    const answer = this.#questions.ask(frame, this.#connection.state === 'open');
    this.connect();
    return answer;
  }

  /** Watch a job on the server's side. @param {string} job @returns {Promise<Snapshot>} */
  #look(job) {
    this.#followed.set(job, this.#next());
    const asked = this.#questions.find('watch', job);
    if (asked) return asked.answer;
    const answer = this.#ask({ action: 'watch', job, after: this.#journals.get(job)?.after });
    answer.catch(({ code, message }) => {
      // Whoever is told of all of theirs may watch any number of them.
      if (code === 'too_many' && (!this.#listing || this.#questions.find('list'))) {
        this.#followed.set(job, 0);
        return void this.list().catch(ignore);
      }
      // What a list tells of is told of, whether its lines come or not.
      if (code === 'closed' || (this.#listing && this.#held.has(job) && code !== 'not_found')) return;
      // Other refusals pass: the job stays followed, so it is asked for again.
      if (code === 'not_found') this.#followed.delete(job);
      this.dispatchEvent(new CustomEvent('refused', { detail: { job, code, message } }));
    });
    return answer;
  }

  /** @param {string} channel @returns {Promise<void>} */
  #join(channel) {
    const answer = this.#questions.find('subscribe', channel)?.answer ?? this.#ask({ action: 'subscribe', channel });
    answer.catch(({ code, message }) => {
      if (code === 'unavailable') this.#rejoin = this.#next();
      else if (code !== 'closed') this.dispatchEvent(new CustomEvent('refused', { detail: { channel, code, message } }));
    });
    return answer;
  }

  /** Ask for the opposite. @param {string} action @param {{job?: string, channel?: string}} about */
  #undo(action, about) {
    const asked = this.#questions.find(action, about.channel ?? about.job)?.frame;
    this.#questions.abandon((frame) => frame === asked, new ProgRockError('closed', 'Nobody watches this any more.'));
    this.#connection.send({ action: `un${action}`, ...about });
  }

  /** Nobody looks at this page. @param {boolean} frozen */
  #away(frozen) {
    if (this.#ended || this.#connection.state === 'closed' && this.#connection.again === null || this.background && !frozen) return;
    this.#paused = true;
    this.#connection.close('paused');
  }

  /** The network, or the person, is back: no reason to wait, and none to trust a connection that slept. @param {boolean} online */
  #back(online) {
    if (this.#presence.hidden && !this.background) return;
    const { state, again } = this.#connection;
    if (this.#paused || again !== null) return this.connect();
    if (state !== 'open') return;
    this.#connection.connect(online);
    this.#probe();
  }

  #probe() {
    this.#ping();
    this.#sweep();
  }

  #ping() {
    if (!this.#questions.find('ping')) this.#ask({ action: 'ping' }).catch(ignore);
  }

  #next() {
    return this.#now() + spread(this.#quiet, this.#random);
  }

  /** Once a second while open: what has been silent for too long? */
  #sweep() {
    // A question without an answer is a socket without a server, whatever the socket says.
    if (this.#questions.overdue(this.#quiet)) return this.#connection.drop();
    const now = this.#now();
    if (this.#rejoin <= now) {
      this.#rejoin = Infinity;
      for (const name of this.#channels.keys()) this.#join(name);
    }
    // The answer to a list may bring most of it at once.
    if (this.#questions.find('list')) return;
    if (this.#relist <= now) return void this.list().catch(ignore);
    for (const [job, due] of this.#followed) if (due <= now) this.#look(job);
    if (now - this.#last > 2 * this.#quiet) this.#ping();
  }

  // Being told

  #changed() {
    clearInterval(this.#pulse);
    if (this.#connection.state !== 'open') this.#questions.lost();
    this.dispatchEvent(new CustomEvent('state', { detail: this.connection }));
    if (this.connection.reason === 'signed-out') this.dispatchEvent(new Event('signed-out'));
  }

  /** @param {Record<string, unknown>} frame */
  #hear(frame) {
    this.#last = this.#now();
    switch (frame.type) {
      case 'hello':
        return this.#welcome(frame);
      case 'update':
        return this.#keep(frame, false);
      case 'updates':
        if (Array.isArray(frame.updates)) for (const update of frame.updates) this.#keep(update, false);
        return;
      case 'same':
        return this.#same(frame);
      case 'error':
        return this.#refuse(frame);
      case 'event':
        if (this.#channels.has(String(frame.channel))) this.dispatchEvent(new CustomEvent('event', { detail: frame }));
        return;
      case 'accepted':
      case 'snapshot':
      case 'jobs':
      case 'subscribed':
      case 'pong':
        return this.#answer(frame.type, frame);
    }
  }

  /** @param {Record<string, unknown>} hello */
  #welcome({ quiet }) {
    if (typeof quiet === 'number' && quiet >= 1000) this.#quiet = Math.min(quiet, 600_000);
    clearInterval(this.#pulse);
    let beat = Date.now();
    this.#pulse = setInterval(() => {
      const slept = Date.now() - beat > SLEPT;
      beat = Date.now();
      if (slept) this.#probe();
      else this.#sweep();
    }, 1000);
    this.#questions.resend();
    this.#rejoin = 0;
    // Anything may have happened meanwhile: all that is unfinished is due.
    for (const job of this.#followed.keys()) this.#followed.set(job, this.#last);
    if (this.#listing) this.list().catch(ignore);
    this.#sweep();
  }

  /** @param {Record<string, unknown>} frame */
  #refuse({ ref, code, message, job, channel }) {
    const question = this.#questions.get(ref);
    const error = new ProgRockError(String(code), String(message));
    if (!question && code === 'not_found' && (job || channel)) {
      // What we were told of until now is not for us any more.
      if (this.#followed.delete(String(job)) || this.#channels.has(String(channel))) {
        this.dispatchEvent(new CustomEvent('refused', { detail: { job, channel, code, message } }));
      }
      return;
    }
    if (!question) return console.warn('ProgRock:', error);
    this.#questions.settle(question);
    question.reject(error);
  }

  /** @param {string} type @param {Record<string, unknown>} frame */
  #answer(type, frame) {
    const question = this.#questions.get(frame.ref);
    const plain = type === 'pong' || type === 'subscribed';
    if (!question || ANSWERS[question.frame.action] !== type) {
      // Not ours to place: it may still tell of a job, as an update does.
      const told = type === 'jobs' && Array.isArray(frame.jobs) ? frame.jobs : [frame];
      if (!plain) for (const each of told) this.#keep(each, false, frame);
      return;
    }
    this.#questions.settle(question);
    if (plain) return question.resolve(undefined);
    if (type === 'jobs') {
      const jobs = Array.isArray(frame.jobs) ? frame.jobs : [];
      const snapshots = jobs.map(readSnapshot).filter((snapshot) => snapshot !== null);
      for (const job of jobs) this.#keep(job, true, frame);
      this.dispatchEvent(new CustomEvent('jobs', { detail: snapshots }));
      question.resolve(snapshots);
      return this.#sweep();
    }
    const snapshot = readSnapshot(frame);
    const { action, job } = question.frame;
    if (!snapshot || (job && job !== (action === 'retry' ? snapshot.retry_of : snapshot.job))) {
      return question.reject(new ProgRockError('bad_answer', 'The server gave an answer that makes no sense.'));
    }
    this.#keep(frame, true);
    question.resolve(this.#held.get(snapshot.job)?.snapshot ?? snapshot);
  }

  /** There is nothing newer. @param {Record<string, unknown>} frame */
  #same({ job, ref }) {
    const held = this.#held.get(String(job));
    const question = this.#questions.get(ref);
    if (question && held) {
      this.#questions.settle(question);
      question.resolve(held.snapshot);
    }
    if (!held || !this.#followed.has(held.snapshot.job)) return;
    held.told = this.#now();
    this.#followed.set(held.snapshot.job, this.#next());
  }

  /**
   * @param {unknown} frame has a snapshot's keys
   * @param {boolean} answer
   * @param {Record<string, unknown>} [whole] the frame that this one is a part of
   */
  #keep(frame, answer, whole) {
    const snapshot = readSnapshot(frame);
    if (!snapshot || !isObject(frame)) return console.warn('ProgRock: ignored a snapshot that makes no sense');
    const { job } = snapshot;
    const held = this.#held.get(job);
    // An update that crossed an unwatch is nobody's, as is one that was for another tab.
    if (!answer && !this.#listing && !this.#wanted.has(job) && !this.#followed.has(job)) return;
    const journal = this.#journals.get(job) ?? new Journal();
    this.#journals.set(job, journal);
    const lines = journal.take(frame, snapshot);
    const resume = frame.resume === 'reset' || frame.resume === 'recovered' ? frame.resume : null;
    const due = this.#followed.get(job) ?? Infinity;
    // Silence starts anew, unless all that is heard is old: then the server may have forgotten what we hold.
    if (!held || (!held.snapshot.complete && (answer || snapshot.seq >= held.snapshot.seq))) this.#followed.set(job, this.#next());
    const better = supersedes(held?.snapshot, snapshot, answer);
    if (better) {
      // The same snapshot again is no younger for having been asked for.
      const told = this.#now();
      const came = held && held.snapshot.seq === snapshot.seq ? held.came : told - age(whole ?? frame, snapshot);
      this.#held.set(job, { snapshot, came, told });
    }
    if (this.#held.get(job)?.snapshot.complete) {
      this.#followed.delete(job);
      this.#forget();
    }
    if (journal.lacks(snapshot) && this.#wanted.has(job)) {
      this.#followed.set(job, Math.min(due, this.#now() + spread(HOLE, this.#random)));
    }
    if (lines.length || resume) {
      this.dispatchEvent(new CustomEvent('lines', { detail: { job, lines, reset: resume === 'reset', resume } }));
    }
    // The same again is an answer, but no news.
    if (better && JSON.stringify(snapshot) !== JSON.stringify(held?.snapshot)) {
      this.dispatchEvent(new CustomEvent('snapshot', { detail: snapshot }));
    }
  }
  /** A list goes on for as long as the page does. */
  #forget() {
    for (const [job, { snapshot }] of this.#held) {
      if (this.#held.size <= MOST) return;
      if (!snapshot.complete || this.#wanted.has(job)) continue;
      this.#held.delete(job);
      this.#journals.delete(job);
    }
  }
}
