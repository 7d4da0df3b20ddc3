// @ts-check
// A job's snapshots as an async iterator, beside the events.

import { ProgRockError } from './questions.js';

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */

/**
 * @param {import('./client.js').ProgRock} client
 * @param {string} job
 * @returns {AsyncIterableIterator<Snapshot>}
 */
export function follow(client, job) {
  const over = new AbortController();
  const { signal } = over;
  /** @type {Snapshot | null} not taken yet */ let fresh = null;
  /** @type {Snapshot | null} */ let last = null;
  /** @type {ProgRockError | null} */ let failure = null;
  /** @type {(() => void)[]} */ let waiting = [];

  const wake = () => {
    const woken = waiting;
    waiting = [];
    for (const go of woken) go();
  };
  /** @param {Snapshot} snapshot */
  const take = (snapshot) => {
    if (snapshot.job !== job || snapshot === last || fresh?.complete) return;
    fresh = last = snapshot;
    wake();
  };
  /** @param {string} code @param {string} message */
  const fail = (code, message) => {
    failure ??= new ProgRockError(code, message);
    wake();
  };
  const end = () => {
    if (signal.aborted) return;
    over.abort();
    client.unwatch(job);
    wake();
  };

  /** @param {string} type @param {(detail: any) => void} then */
  const on = (type, then) =>
    client.addEventListener(type, (event) => then(/** @type {CustomEvent} */ (event).detail), { signal });
  on('snapshot', take);
  on('refused', (refusal) => refusal.job === job && refusal.code === 'not_found' && fail(refusal.code, refusal.message));
  on('state', ({ reason }) => reason === 'ended' && fail('closed', 'The client was closed.'));
  // Other refusals pass: it is asked again.
  client.watch(job).then(take, ({ code, message }) => code === 'closed' && fail(code, message));

  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      if (!fresh && last?.complete) end();
      while (!fresh && !failure && !signal.aborted) await new Promise((go) => waiting.push(() => go(undefined)));
      const value = fresh;
      fresh = null;
      if (value && !signal.aborted) return { value, done: false };
      const error = signal.aborted ? null : failure;
      end();
      if (error) throw error;
      return { value: undefined, done: true };
    },
    async return() {
      end();
      return { value: undefined, done: true };
    },
  };
}
