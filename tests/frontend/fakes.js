// What stands in for the browser: sockets, streams, requests, locks and channels that do what a test says.
import { mock } from 'node:test';
import { frames } from './fixtures.js';

/** @type {FakeSocket[]} */
export const sockets = [];
/** @type {FakeSource[]} */
export const sources = [];
/** The requests, as {method, path, headers, body, signal, answer}. */
export const requests = [];

export class FakeSocket {
  constructor(url) {
    this.url = url;
    this.sent = [];
    this.closed = false;
    sockets.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.closed = true;
  }
  /** The server says something. */
  say(...said) {
    for (const frame of said) this.onmessage({ data: typeof frame === 'string' ? frame : JSON.stringify(frame) });
  }
  hello() {
    this.say(...frames('server', 'hello'));
    return this;
  }
  die(code = 1006) {
    this.onclose({ code });
  }
  asked(action) {
    return this.sent.filter((frame) => frame.action === action);
  }
}

export class FakeSource {
  constructor(url) {
    this.url = url;
    this.closed = false;
    this.named = {};
    sources.push(this);
  }
  addEventListener(name, hear) {
    this.named[name] = hear;
  }
  close() {
    this.closed = true;
  }
  say(...said) {
    for (const frame of said) this.onmessage({ data: JSON.stringify(frame) });
  }
  die() {
    this.onerror({});
  }
}

/** A fetch whose answers come when the test says so. */
export function fakeFetch(url, { method = 'GET', headers, body, signal }) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const request = { method, path: url.replace('http://test/prog/', ''), headers, signal, body: body && JSON.parse(body), done: false };
  request.answer = (frame, status = 200, more = {}) => {
    request.done = true;
    const type = status < 400 ? 'application/json' : 'application/problem+json';
    resolve(new Response(typeof frame === 'string' ? frame : JSON.stringify(frame), { status, headers: { 'Content-Type': type, ...more } }));
  };
  request.fail = () => {
    request.done = true;
    reject(new TypeError('Failed to fetch'));
  };
  signal?.addEventListener('abort', () => {
    request.done = true;
    reject(signal.reason);
  });
  requests.push(request);
  return promise;
}

/** The requests that wait for an answer and begin with that. */
export const open = (path = '') => requests.filter((request) => !request.done && request.path.startsWith(path));

/** Exclusive locks, first come first served, which may be stolen; as in a browser, nothing happens at once. */
export class FakeLocks {
  /** @type {Map<string, {holder: any, queue: any[]}>} */
  #names = new Map();
  async request(name, { signal, steal = false }, hold) {
    await null;
    const lock = this.#names.get(name) ?? { holder: null, queue: [] };
    this.#names.set(name, lock);
    const { promise, resolve, reject } = Promise.withResolvers();
    const next = () => {
      const wish = lock.queue.shift();
      lock.holder = wish ?? null;
      wish?.begin();
    };
    const wish = {
      reject,
      begin: () =>
        Promise.resolve(hold({ name })).then((value) => {
          resolve(value);
          if (lock.holder === wish) next();
        }),
    };
    signal?.addEventListener('abort', () => {
      if (!lock.queue.includes(wish)) return;
      lock.queue = lock.queue.filter((other) => other !== wish);
      reject(new DOMException('withdrawn', 'AbortError'));
    });
    if (steal) {
      const before = lock.holder;
      lock.holder = wish;
      before?.reject(new DOMException('stolen', 'AbortError'));
      wish.begin();
    } else {
      lock.queue.push(wish);
      if (!lock.holder) next();
    }
    return promise;
  }
}

/** A tab's BroadcastChannel: one class for each tab, so that a tab can be frozen or lose what it is told. */
export function fakeTab() {
  const tab = { frozen: false, late: [], deaf: false };
  tab.BroadcastChannel = class {
    constructor(name) {
      this.name = name;
      channels.add(this);
    }
    postMessage(said) {
      const text = JSON.stringify(said);
      posted.push(said);
      for (const other of channels) {
        if (other === this || other.name !== this.name || other.tab.deaf) continue;
        const deliver = () => channels.has(other) && other.onmessage?.({ data: JSON.parse(text) });
        queueMicrotask(() => (other.tab.frozen ? other.tab.late.push(deliver) : deliver()));
      }
    }
    close() {
      channels.delete(this);
    }
    get tab() {
      return tab;
    }
  };
  // A frozen tab learns late that its lock was taken.
  tab.locks = (locks) => ({
    request: (...wish) =>
      locks.request(...wish).catch(async (error) => {
        if (tab.frozen) await new Promise((thaw) => tab.late.push(thaw));
        throw error;
      }),
  });
  tab.thaw = () => {
    tab.frozen = false;
    for (const deliver of tab.late.splice(0)) deliver();
  };
  return tab;
}
const channels = new Set();
/** All that tabs have said to each other. */
export const posted = [];

/** Forget what was. */
export function forget() {
  for (const list of [sockets, sources, requests, posted]) list.length = 0;
  channels.clear();
}

/** Let promises that are settled be seen; no time passes. */
export const settle = async () => {
  for (let i = 0; i < 60; i += 1) await Promise.resolve();
};

/** Let time pass, bit by bit. */
export const pass = async (ms, step = 100) => {
  for (let left = ms; left > 0; left -= step) {
    mock.timers.tick(Math.min(left, step));
    await settle();
  }
};
