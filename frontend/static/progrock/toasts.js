// @ts-check
// <prog-rock-toasts src="/prog/">: tells once, on whatever page, what became of a job that nobody was looking at.

import { clientOf, define, element } from './prog-rock.js';
import { style } from './style.js';
import { STATES, join, message, percent, say, status } from './words.js';

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */

/** What all pages of this browser keep of a job whose end is still to be told. @param {string} job */
const key = (job) => `progrock.untold.${job}`;
/** How many toasts are shown. */
const MOST = 3;
/** For how long a toast is shown that may go by itself, in steps of half a second. */
const STEPS = 16;
/** Who was away for so long has come back; in milliseconds. */
const AWAY = 60_000;

/** @type {Record<string, string>} */
let storage = {};
try {
  storage = localStorage;
} catch {
  // A browser that keeps nothing for us tells on the page that saw it run.
}

/** @param {string} job */
const note = (job) => {
  try {
    storage[key(job)] = '';
  } catch {
    // It is full: from here on this page alone knows.
    storage = { ...storage, [key(job)]: '' };
  }
};

/** Of all pages, only one may tell. @param {string} job @returns {Promise<boolean>} */
const claim = async (job) => {
  const take = () => key(job) in storage && delete storage[key(job)];
  // A page may not have locks: the browser has none, or refuses them to it.
  return (await navigator.locks?.request(key(job), take).catch(take)) ?? take();
};

/** Whoever shows the list says why there is none. */
const ignore = () => {};

/** Whether the person can see that job. @param {string} job */
const seen = (job) =>
  [...document.querySelectorAll('prog-rock')].some((shown) => {
    const { top, bottom, height } = shown.getBoundingClientRect();
    return shown.getAttribute('job') === job && height > 0 && bottom > 0 && top < innerHeight;
  });

/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockToastsElement extends HTMLElement {
  /** @type {import('./client.js').ProgRock | undefined} */ #client;
  /** @type {AbortController | undefined} */ #listening;
  /** @type {Map<string, Snapshot>} */ #open = new Map();
  /** Ended, and nobody has been told. @type {Map<string, Snapshot>} */ #ended = new Map();
  /** @type {Map<string, {toast: HTMLElement, steps: number}>} */ #toasts = new Map();
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;
  #prefix = '';
  #left = 0;
  #polite = element('div', 'polite');
  #alert = element('div', 'alert');

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [style()];
    this.#polite.role = 'status';
    this.#alert.role = 'alert';
    // One toast is news, those before it are not.
    for (const region of [this.#polite, this.#alert]) region.ariaAtomic = 'false';
    root.append(this.#alert, this.#polite);
  }

  connectedCallback() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    const client = (this.#client = clientOf(this, { background: this.#notifies }));
    const before = Object.keys(storage);
    client.addEventListener('snapshot', this.#onSnapshot, { signal });
    document.addEventListener('visibilitychange', this.#onVisibility, { signal });
    this.#ticking = setInterval(this.#tick, 500);
    client.list().then(
      (jobs) => {
        for (const snapshot of jobs) this.#hear(snapshot);
        // Begun on another page.
        this.#still((job) => before.includes(key(job)));
        // What is not in the list is too old to matter, or of whoever used this browser before.
        const listed = new Set(jobs.map(({ job }) => key(job)));
        for (const name of Object.keys(storage)) {
          if (name.startsWith(key('')) && !listed.has(name)) delete storage[name];
        }
      },
      ignore,
    );
  }

  disconnectedCallback() {
    this.#listening?.abort();
    clearInterval(this.#ticking);
    this.#open.clear();
    this.#entitle();
  }

  /** Ask whether notifications may be shown; to be called from a click. @returns {Promise<NotificationPermission>} */
  async allow() {
    const permission = (await globalThis.Notification?.requestPermission()) ?? 'denied';
    if (this.#client) this.#client.background ||= this.#notifies;
    return permission;
  }

  /** Who wants to be notified is, however long nobody looks at the page. */
  get #notifies() {
    return this.hasAttribute('notify') && globalThis.Notification?.permission === 'granted';
  }

  /** @param {Event} event */
  #onSnapshot = (event) => this.#hear(/** @type {CustomEvent<Snapshot>} */ (event).detail);

  /** @param {Snapshot} snapshot */
  #hear(snapshot) {
    const { job, parent, complete } = snapshot;
    if (parent) return;
    if (!complete) {
      if (!this.#open.has(job)) note(job);
      this.#open.set(job, snapshot);
    } else if (this.#open.delete(job) || key(job) in storage) {
      this.#ended.set(job, snapshot);
      this.#tell();
    }
    this.#entitle();
  }

  /** A page that nobody sees keeps it for when it is seen, unless a notification may be shown. */
  async #tell() {
    const { hidden } = document;
    if (hidden && !this.#notifies) return;
    const ended = [...this.#ended.values()];
    this.#ended.clear();
    for (const snapshot of ended) {
      if (!(await claim(snapshot.job))) continue;
      // The last that was said of it, that it was still going, is no longer true.
      this.#drop(snapshot.job);
      if (hidden) this.#notify(snapshot);
      else if (!seen(snapshot.job)) this.#toast(snapshot, status(snapshot, 0, true));
    }
  }

  /** @param {Snapshot} snapshot */
  #notify(snapshot) {
    const { job: tag, title } = snapshot;
    try {
      const shown = new Notification(title, { body: STATES[snapshot.state], tag });
      shown.onclick = () => {
        window.focus();
        shown.close();
      };
    } catch {
      // Some browsers let only service workers do this.
      this.#ended.set(tag, snapshot);
      note(tag);
    }
  }

  /** @param {(job: string) => boolean} which */
  #still(which) {
    if (document.hidden) return;
    for (const [job, snapshot] of this.#open) {
      if (which(job) && !seen(job)) {
        this.#toast(snapshot, join(say('Still going'), snapshot.percent !== null && percent(snapshot.progress)));
      }
    }
  }

  #onVisibility = () => {
    if (document.hidden) return void (this.#left = Date.now());
    this.#tell();
    // What is known here may be as old as the absence.
    if (Date.now() - this.#left > AWAY) this.#client?.list().then(() => this.#still(() => true), ignore);
  };

  /** @param {Snapshot} snapshot @param {string} words */
  #toast(snapshot, words) {
    const { job, title, state, file } = snapshot;
    this.#drop(job);
    const dismiss = element('button', 'dismiss', '×');
    const text = element('div', 'text', element('bdi', 'title', title), element('div', 'status', words));
    if (state === 'failed') text.append(element('bdi', 'message', message(snapshot)));
    if (file && this.#client) {
      const link = element('a', 'file', say('Open the file'));
      link.href = this.#client.file(job);
      text.append(link);
    }
    const toast = element('div', `toast ${state}`, text, dismiss);
    dismiss.type = 'button';
    dismiss.ariaLabel = `${say('Dismiss')}: ${title}`;
    dismiss.onclick = () => this.#drop(job);
    (state === 'failed' ? this.#alert : this.#polite).append(toast);
    // What went wrong waits until it was read.
    this.#toasts.set(job, { toast, steps: state === 'failed' ? Infinity : STEPS });
    for (const old of [...this.#toasts.keys()].slice(0, -MOST)) this.#drop(old);
  }

  /** @param {string} job */
  #drop(job) {
    const { toast } = this.#toasts.get(job) ?? {};
    if (!toast) return;
    this.#toasts.delete(job);
    const inside = toast.contains(this.shadowRoot?.activeElement ?? null);
    toast.remove();
    // The keyboard goes on to the next.
    if (inside) [...this.#toasts.values()].at(-1)?.toast.querySelector('button')?.focus();
  }

  /** Time stands still for a toast while somebody is at one. */
  #tick = () => {
    if (document.hidden || this.matches(':hover, :focus-within')) return;
    for (const [job, toast] of this.#toasts) if (--toast.steps <= 0) this.#drop(job);
  };

  /** The newest that is at work, before the title of the page. */
  #entitle() {
    const newest = [...this.#open.values()].sort((a, b) => b.created - a.created)[0];
    const prefix = newest && !this.hasAttribute('keep-title') ? `${newest.percent === null ? '…' : percent(newest.progress)} · ` : '';
    const { title } = document;
    const own = title.startsWith(this.#prefix) ? title.slice(this.#prefix.length) : title;
    this.#prefix = prefix;
    if (prefix + own !== title) document.title = prefix + own;
  }
}

define('prog-rock-toasts', ProgRockToastsElement);
