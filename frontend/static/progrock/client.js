// @ts-check
// The client of the wire protocol: what it knows of which jobs, and when it asks again.

import { spread } from './backoff.js';
import { Connection } from './connection.js';
import { ProgRockError, Questions } from './questions.js';
import { readSnapshot, supersedes } from './snapshot.js';

export { ProgRockError };

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {import('./questions.js').Frame} Frame */

/** @type {Readonly<Record<string, string>>} */
const ANSWERS = { start: 'accepted', watch: 'snapshot', cancel: 'snapshot', retry: 'accepted', list: 'jobs', ping: 'pong' };

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

/**
 * Events: `state`, whose detail is `{state, again}` (`again`: the Date.now() of the next try, or null);
 * `snapshot`, whose detail is the Snapshot; `refused`, whose detail is `{job, code, message}`: the server
 * will not let us watch that job.
 */
export class ProgRock extends EventTarget {
  /** @type {URL} */ #endpoint;
  /** @type {() => number} */ #random;
  /** @type {() => number} */ #now;
  /** @type {Connection} */ #connection;
  /** @type {Questions} */ #questions;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #pulse;
  #quiet = 12_000;
  #last = 0;
  #ended = false;
  #listing = false;
  /** @type {Map<string, {snapshot: Snapshot, came: number, told: number}>} */ #held = new Map();
  /** @type {Map<string, number>} how many here want that job */ #wanted = new Map();
  /** @type {Map<string, number>} when to ask for that unfinished job again */ #followed = new Map();

  /**
   * @param {string} [endpoint] a path, or an address of http, https, ws or wss
   * @param {import('./connection.js').Surroundings} [surroundings]
   */
  constructor(endpoint = '/prog/', surroundings = {}) {
    super();
    this.#endpoint = new URL(endpoint, globalThis.location?.href);
    this.#random = surroundings.random ?? Math.random;
    this.#now = surroundings.now ?? (() => performance.now());
    const listener = {
      changed: () => this.#changed(),
      heard: (/** @type {Record<string, unknown>} */ frame) => this.#hear(frame),
      back: () => this.#probe(),
    };
    this.#connection = new Connection(this.#endpoint, listener, surroundings);
    this.#questions = new Questions((frame) => this.#connection.send(frame), this.#now);
  }

  /**
   * The one client this page has for an endpoint.
   *
   * @param {string} [endpoint]
   */
  static shared(endpoint = '/prog/') {
    const { href } = new URL(endpoint, globalThis.location?.href);
    const client = shared.get(href) ?? new ProgRock(href);
    shared.set(href, client);
    return client;
  }

  get connection() {
    const { state, again } = this.#connection;
    return { state, again };
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
    const url = new URL(`jobs/${encodeURIComponent(job)}/file`, this.#endpoint);
    url.protocol = url.protocol.replace('ws', 'http');
    return url.href;
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
    if (held && (held.complete || this.#followed.has(job))) return Promise.resolve(held);
    return this.#look(job);
  }

  /**
   * The opposite of one `watch`.
   *
   * @param {string} job
   */
  unwatch(job) {
    const count = (this.#wanted.get(job) ?? 0) - 1;
    if (count > 0) return void this.#wanted.set(job, count);
    if (!this.#wanted.delete(job) || this.#listing) return;
    this.#followed.delete(job);
    this.#held.delete(job);
    const error = new ProgRockError('closed', 'Nobody watches this job any more.');
    this.#questions.abandon((frame) => frame.action === 'watch' && frame.job === job, error);
    this.#connection.send({ action: 'unwatch', job });
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
    return this.#ask({ action: 'list' });
  }

  /** Connect now. Everything that needs a connection does this by itself. */
  connect() {
    this.#connection.connect();
  }

  /** End this client for good. */
  close() {
    this.#ended = true;
    if (shared.get(this.#endpoint.href) === this) shared.delete(this.#endpoint.href);
    this.#connection.end();
    this.#questions.abandon(() => true, new ProgRockError('closed', 'The client was closed.'));
  }

  // Asking

  /** @param {Frame} frame @returns {Promise<any>} */
  #ask(frame) {
    if (this.#ended) return Promise.reject(new ProgRockError('closed', 'The client was closed.'));
    const answer = this.#questions.ask(frame, this.#connection.state === 'open');
    this.#connection.connect();
    return answer;
  }

  /** Watch a job on the server's side. @param {string} job @returns {Promise<Snapshot>} */
  #look(job) {
    const asked = this.#questions.find('watch', job);
    if (asked) return asked.answer;
    this.#followed.set(job, this.#next());
    const answer = this.#ask({ action: 'watch', job });
    answer.catch(({ code, message }) => {
      if (code === 'closed') return;
      // Other refusals pass: the job stays followed, so it is asked for again.
      if (code === 'not_found') this.#followed.delete(job);
      this.dispatchEvent(new CustomEvent('refused', { detail: { job, code, message } }));
    });
    return answer;
  }

  /** The network, or the person, is back. */
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
    // The answer to a list may bring most of it at once.
    if (this.#questions.find('list')) return;
    const now = this.#now();
    for (const [job, due] of this.#followed) if (due <= now) this.#look(job);
    if (now - this.#last > 2 * this.#quiet) this.#ping();
  }

  // Being told

  #changed() {
    clearInterval(this.#pulse);
    if (this.#connection.state !== 'open') this.#questions.lost();
    this.dispatchEvent(new CustomEvent('state', { detail: this.connection }));
  }

  /** @param {Record<string, unknown>} frame */
  #hear(frame) {
    this.#last = this.#now();
    switch (frame.type) {
      case 'hello':
        return this.#welcome(frame);
      case 'update':
        return this.#keep(readSnapshot(frame), false);
      case 'error':
        return this.#refuse(frame);
      case 'accepted':
      case 'snapshot':
      case 'jobs':
      case 'pong':
        return this.#answer(frame.type, frame);
    }
  }

  /** @param {Record<string, unknown>} hello */
  #welcome({ quiet }) {
    if (typeof quiet === 'number' && quiet >= 1000) this.#quiet = Math.min(quiet, 600_000);
    this.#pulse = setInterval(() => {
      this.#questions.refill();
      this.#sweep();
    }, 1000);
    this.#questions.resend();
    // Anything may have happened meanwhile: all that is unfinished is due.
    for (const job of this.#followed.keys()) this.#followed.set(job, this.#last);
    if (this.#listing && !this.#questions.find('list')) this.list().catch(ignore);
    this.#sweep();
  }

  /** @param {Record<string, unknown>} frame */
  #refuse({ ref, code, message }) {
    const question = this.#questions.get(ref);
    const error = new ProgRockError(String(code), String(message));
    if (!question) return console.warn('ProgRock:', error);
    this.#questions.settle(question);
    question.reject(error);
  }

  /** @param {string} type @param {Record<string, unknown>} frame */
  #answer(type, frame) {
    const question = this.#questions.get(frame.ref);
    if (!question || ANSWERS[question.frame.action] !== type) {
      // Not ours to place: it may still tell of a job, as an update does.
      if (type === 'accepted' || type === 'snapshot') this.#keep(readSnapshot(frame), false);
      return;
    }
    this.#questions.settle(question);
    if (type === 'pong') return question.resolve(undefined);
    if (type === 'jobs') {
      const jobs = Array.isArray(frame.jobs) ? frame.jobs : [];
      const snapshots = jobs.map(readSnapshot).filter((snapshot) => snapshot !== null);
      for (const snapshot of snapshots) this.#keep(snapshot, true, age(frame, snapshot));
      question.resolve(snapshots);
      return this.#sweep();
    }
    const snapshot = readSnapshot(frame);
    const { action, job } = question.frame;
    if (!snapshot || (job && job !== (action === 'retry' ? snapshot.retry_of : snapshot.job))) {
      return question.reject(new ProgRockError('bad_answer', 'The server gave an answer that makes no sense.'));
    }
    this.#keep(snapshot, true, age(frame, snapshot));
    question.resolve(this.#held.get(snapshot.job)?.snapshot ?? snapshot);
  }

  /** @param {Snapshot | null} snapshot @param {boolean} answer @param {number} [old] how old it came, in ms */
  #keep(snapshot, answer, old = 0) {
    if (!snapshot) return console.warn('ProgRock: ignored a snapshot that makes no sense');
    const { job } = snapshot;
    const held = this.#held.get(job);
    // Heard of, whatever it said: silence starts anew. An update that crossed an unwatch is nobody's.
    const ours = answer || this.#listing || this.#wanted.has(job) || this.#followed.has(job);
    if (ours && !held?.snapshot.complete) this.#followed.set(job, this.#next());
    if (!supersedes(held?.snapshot, snapshot, answer)) return;
    // The same snapshot again is no younger for having been asked for.
    const told = this.#now();
    const came = held && held.snapshot.seq === snapshot.seq ? held.came : told - old;
    this.#held.set(job, { snapshot, came, told });
    if (snapshot.complete) this.#followed.delete(job);
    this.dispatchEvent(new CustomEvent('snapshot', { detail: snapshot }));
  }
}
