// @ts-check
// The ways to the server where no websocket gets through: questions by fetch, news by server-sent events or long poll.

import { spread } from './backoff.js';
import { isObject } from './snapshot.js';
import { below, parse } from './socket.js';

/** @typedef {import('./connection.js').Received} Received */

/** For how many seconds a poll may wait for news. */
const WAIT = 10;
/** Between two polls that brought news, in ms. */
const GAP = 500;
/** What is asked within this, in ms, is asked together. */
const TOGETHER = 30;
/** Until a stream has to have brought its first frame, in ms. */
const FIRST = 5_000;
/** How many jobs one request may name. */
const MOST = 100;

/** @param {string} selector @returns {any} */
const page = (selector) => globalThis.document?.querySelector(selector);

/** Django's token against forged requests: from the cookie, which knows of a login elsewhere, a form, or the page's head. */
const token = () =>
  /(?:^|; )csrftoken=([^;]*)/.exec(globalThis.document?.cookie ?? '')?.[1] ||
  page('input[name=csrfmiddlewaretoken]')?.value ||
  page('meta[name=csrf-token]')?.content ||
  '';

/** How long the server wants to be left alone, in ms. @param {Response} response */
function retryAfter({ headers }) {
  const said = headers.get('Retry-After') ?? '';
  const wait = /^\d+$/.test(said) ? Number(said) * 1000 : Date.parse(said) - Date.now();
  return Math.min(Math.max(wait || 0, 0), 600_000);
}

/**
 * @param {URL} endpoint
 * @param {import('./connection.js').Told} told
 * @param {import('./connection.js').Surroundings} surroundings
 * @param {(new (url: string) => EventSource) | undefined} Source else it polls
 * @returns {import('./connection.js').Way}
 */
function http(endpoint, { heard, gone }, surroundings, Source) {
  const base = new URL(endpoint);
  base.protocol = base.protocol.replace('ws', 'http');
  /** An address below, with what the endpoint's own query has: a share link. @param {string} path */
  const at = (path) => below(path, base);
  const fetch = surroundings.fetch ?? globalThis.fetch.bind(globalThis);
  const over = new AbortController();
  /** @type {Map<string, unknown>} the jobs that are watched, and the cursor of each */
  const watched = new Map();
  /** @type {Map<string, unknown[]>} what is to be asked for: refs by job, '' for the list */
  const asked = new Map();
  /** @type {Map<string, unknown[] | null>} refs by channel, null once it is heard */
  const channels = new Map();
  let listing = false;
  /** @type {unknown} the server's time of the last answer */ let since;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let soon;
  /** What is listened to, and how to stop that. */
  let live = '';
  let hush = () => {};
  /** Whether the stream has brought nothing yet, and how often asking has brought what it should have. */
  let mute = true;
  let missed = 0;

  const close = () => {
    over.abort();
    clearTimeout(soon);
    hush();
  };

  /** @param {import('./connection.js').End} how */
  const end = (how) => {
    if (over.signal.aborted) return;
    close();
    gone(how);
  };

  /**
   * The body of an answer; undefined if there is none, and that has been seen to.
   *
   * @param {string} path @param {RequestInit} [options] @param {unknown} [ref] the question that hears of a refusal
   * @param {number} [fine] a status whose refusal is as good as an answer
   */
  const call = async (path, options, ref, fine) => {
    const signal = options?.signal ?? over.signal;
    try {
      const response = await fetch(at(path), {
        cache: 'no-store',
        headers: { Accept: 'application/json' },
        ...options,
        signal,
      });
      const { ok, status, headers } = response;
      const body = headers.get('Content-Type')?.includes('json') ? parse(await response.text()) : null;
      if (signal.aborted) return;
      if (status === 401) return end({ code: 4401 });
      if ((ok || status === fine) && body) return body;
      // A refusal is an answer; that nobody could be asked is none.
      if (!ref || (status > 499 && !body)) return end({ wait: retryAfter(response) });
      const { code = 'bad_answer', detail = `The server answered ${status}.` } = body ?? {};
      heard({ type: 'error', code, message: detail, ref });
    } catch {
      if (!signal.aborted) end({});
    }
  };

  /** @param {string} type @param {unknown} [ref] */
  const prove = async (type, ref) => {
    // Who may not list their jobs is known all the same.
    if (await call('jobs/?limit=1', undefined, undefined, 404)) heard({ type, ref, quiet: Source ? 12_000 : 15_000 });
  };

  /** @param {string} path @param {import('./questions.js').Frame} frame @param {object} [wish] */
  const post = async (path, { ref }, wish) => {
    const headers = { Accept: 'application/json', 'Content-Type': 'application/json', 'X-CSRFToken': token() };
    const answer = await call(path, { method: 'POST', headers, body: JSON.stringify(wish ?? {}) }, ref);
    if (!answer) return;
    if (answer.type === 'accepted') watched.set(String(answer.job), answer.seq);
    heard({ ...answer, ref });
    later();
  };

  /** @param {unknown} frame */
  const take = (frame) => {
    if (!isObject(frame)) return;
    const channel = String(frame.channel);
    const refs = channels.get(channel);
    if (refs && frame.type !== 'event') {
      // It may be heard, or not.
      if (frame.type === 'error') channels.delete(channel);
      else channels.set(channel, null);
      for (const ref of refs) heard({ ...frame, ref });
      return;
    }
    if (frame.type === 'jobs') since = frame.now;
    for (const { job, seq, complete } of Array.isArray(frame.updates) ? frame.updates : [frame]) {
      if (complete || frame.type === 'error') watched.delete(job);
      else if (watched.has(job)) watched.set(job, seq);
    }
    heard(frame);
  };

  /** @param {Iterable<string>} jobs @param {unknown} list */
  const updates = (jobs, list) => {
    const query = [...jobs].map((job) => `&job=${job}${watched.get(job) ? `:${watched.get(job)}` : ''}`);
    return `updates?${list ? 'list=1' : ''}${query.join('')}`.replace('?&', '?');
  };

  /** Ask, all at once, what has been asked of us; then see that what is watched is listened to. */
  const look = async () => {
    soon = undefined;
    const asking = new Map([...asked].slice(0, MOST));
    for (const job of asking.keys()) asked.delete(job);
    if (asking.size) {
      const list = asking.get('');
      asking.delete('');
      const jobs = [...asking.keys()];
      const held = new Map(watched);
      const answer = await call(updates(jobs, list));
      if (!answer) return;
      const { now, frames } = answer;
      /** @type {unknown} */ let newer = false;
      for (const frame of Array.isArray(frames) ? frames : []) {
        const job = frame?.job;
        // An error that is about no job is about the list.
        const refs = frame?.type === 'jobs' || (frame?.type === 'error' && !job) ? list : asking.get(job);
        asking.delete(job);
        const cursor = held.get(job);
        newer ||= cursor && watched.get(job) === cursor && frame.seq > Number(cursor);
        for (const ref of refs ?? []) take({ now, ...frame, ref });
      }
      // Of the others there is nothing newer.
      for (const [job, refs] of asking) for (const ref of refs) heard({ type: 'same', job, ref });
      // We were asked because a stream was silent. It had no reason to be.
      missed = newer ? missed + 1 : 0;
      if (Source && missed > 1) return end({ mute: true });
    }
    if (asked.size) later();
    listen();
  };

  const later = () => {
    soon ??= setTimeout(look, TOGETHER);
  };

  const hears = () => [...channels.keys()].map((channel) => `&channel=${encodeURIComponent(channel)}`).join('');

  const listen = () => {
    const wish = [listing, ...[...watched.keys()].sort(), hears()].join();
    if (wish === live || soon || over.signal.aborted) return;
    hush();
    live = wish;
    if (listing || watched.size || channels.size) hush = Source ? open(Source) : repeat();
  };

  /** @param {new (url: string) => EventSource} Source */
  const open = (Source) => {
    const source = new Source(at(updates(watched.keys(), listing) + hears()));
    const limit = setTimeout(() => mute && end({ mute }), FIRST);
    let spoke = false;
    source.onmessage = ({ data }) => {
      mute = false;
      spoke = true;
      missed = 0;
      take(parse(data));
    };
    source.addEventListener('signed-out', () => end({ code: 4401 }));
    source.onerror = () => {
      if (!spoke) return end({ mute });
      // The server ends a stream now and then.
      hush();
      live = '';
      soon ??= setTimeout(look, spread(2 * GAP, surroundings.random));
    };
    return () => {
      clearTimeout(limit);
      source.close();
    };
  };

  const repeat = () => {
    const mine = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} */ let next;
    const once = async () => {
      const limit = setTimeout(() => end({}), 3000 * WAIT);
      const path = `${updates(watched.keys(), listing)}&wait=${WAIT}${listing && since ? `&since=${since}` : ''}`;
      const answer = listing || watched.size ? await call(path, { signal: mine.signal }) : undefined;
      clearTimeout(limit);
      if (!answer) return;
      const { now, frames } = answer;
      since = now;
      const silent = new Set(watched.keys());
      for (const frame of Array.isArray(frames) ? frames : []) {
        for (const { job } of frame?.updates ?? [frame]) silent.delete(job);
        take(frame);
      }
      for (const job of silent) heard({ type: 'same', job });
      if (!mine.signal.aborted) next = setTimeout(once, spread(GAP, surroundings.random));
    };
    once();
    return () => {
      mine.abort();
      clearTimeout(next);
    };
  };

  // Whoever answers this knows us.
  prove('hello');

  return {
    close,
    send(frame) {
      const { action, job = '', channel = '', ref } = frame;
      const refs = asked.get(job) ?? [];
      /** @param {string} code @param {string} message */
      const refuse = (code, message) => heard({ type: 'error', code, message, ref });
      switch (action) {
        case 'watch':
          // It becomes a part of an address that names others, too.
          if (!/^[\w-]+$/.test(job)) return refuse('invalid', `Expected the id of a job, got '${job}'.`);
          // Two tabs may ask at once: both get what the one needs that has less. The client asks again for what is not watched.
          if (watched.size < MOST || watched.has(job)) {
            watched.set(job, Math.min(Number(frame.after ?? 0), refs.length ? Number(watched.get(job)) : Infinity));
          }
          asked.set(job, [...refs, ref]);
          break;
        case 'list':
          listing = true;
          asked.set('', [...refs, ref]);
          break;
        case 'unwatch':
          watched.delete(job);
          asked.delete(job);
          break;
        case 'subscribe':
          if (!Source) return refuse('unavailable', 'Events do not come by polling.');
          if (channels.get(channel) === null) return heard({ type: 'subscribed', channel, ref });
          channels.set(channel, [...(channels.get(channel) ?? []), ref]);
          break;
        case 'unsubscribe':
          channels.delete(channel);
          break;
        case 'ping':
          return void prove('pong', ref);
        case 'start':
          return void post('jobs/', frame, { service: frame.service, params: frame.params, key: frame.key });
        default:
          return void post(`jobs/${encodeURIComponent(job)}/${action}`, frame);
      }
      later();
    },
  };
}

/** Server-sent events. @type {typeof import('./socket.js').socket} */
export const stream = (endpoint, told, surroundings) =>
  http(endpoint, told, surroundings, surroundings.EventSource ?? globalThis.EventSource);

/** The long poll. @type {typeof import('./socket.js').socket} */
export const poll = (endpoint, told, surroundings) => http(endpoint, told, surroundings, undefined);
