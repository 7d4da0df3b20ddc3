// @ts-check
// Whether anybody is there: the page hidden for long, frozen or put away, and back again.

/**
 * @typedef {object} Watcher
 * @property {(frozen: boolean) => void} away frozen: nothing will run here for a while
 * @property {(online: boolean) => void} back it can run again, hidden or not; online: it is the network that is back
 */

export class Presence {
  /** @type {Watcher} */ #watcher;
  /** @type {number} */ #patience;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #over = new AbortController();

  /** @param {Watcher} watcher @param {number} patience for how long a page may be hidden, in ms */
  constructor(watcher, patience) {
    this.#watcher = watcher;
    this.#patience = patience;
    const { signal } = this.#over;
    const page = globalThis.document;
    const on = (/** @type {EventTarget} */ target, /** @type {string} */ name, /** @type {() => void} */ then) =>
      target.addEventListener?.(name, then, { signal });
    on(globalThis, 'online', () => watcher.back(true));
    on(globalThis, 'pagehide', () => watcher.away(true));
    on(globalThis, 'pageshow', this.#turn);
    if (page) for (const name of ['visibilitychange', 'resume']) on(page, name, this.#turn);
    if (page) on(page, 'freeze', () => watcher.away(true));
    this.wait();
  }

  get hidden() {
    return globalThis.document?.visibilityState === 'hidden';
  }

  /** A hidden page waits from now on. */
  wait() {
    clearTimeout(this.#timer);
    if (this.hidden) this.#timer = setTimeout(() => this.#watcher.away(false), this.#patience);
  }

  end() {
    clearTimeout(this.#timer);
    this.#over.abort();
  }

  #turn = () => {
    this.wait();
    this.#watcher.back(false);
  };
}
