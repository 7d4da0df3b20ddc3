// @ts-check
// <prog-rock job="…" src="/prog/">: one job, shown as it is, with a way to cancel it.

import { ProgRock } from './client.js';
import { style } from './style.js';
import { announcement, condition, reason, status, timeLeft } from './words.js';

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */

/** How a job ended, in the words of ProgressEvent. @type {Partial<Record<string, string>>} */
const ENDINGS = { succeeded: 'load', failed: 'error', cancelled: 'abort' };

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} part @param {Node[]} children */
function element(tag, part, ...children) {
  const made = document.createElement(tag);
  made.setAttribute('part', part);
  made.append(...children);
  return made;
}

/** @param {string} [name] @param {Node[]} fallback */
function slot(name, ...fallback) {
  const made = document.createElement('slot');
  if (name) made.name = name;
  made.append(...fallback);
  return made;
}

/**
 * Attributes in: `job`, `src`. Attributes out, for styles: `state`, `progress`, `complete`, `misses`, and
 * `condition` (`quiet`, `retrying` or `disconnected`, absent while all is well).
 * Events: `progress`, then one of `load`, `error`, `abort`, then `loadend`, each a ProgressEvent.
 * Slots: the default is shown until the first snapshot, `title` replaces the title, `extra` comes last.
 * Parts: base head title percent bar fill foot words status message actions left cancel file live refused.
 */
export class ProgRockElement extends HTMLElement {
  static observedAttributes = ['job', 'src'];
  /** @type {CSSStyleSheet | undefined} */ static #sheet;

  /** @type {ProgRock | null} */ #client = null;
  /** @type {AbortController | undefined} */ #listening;
  #job = '';
  /** @type {Snapshot | null} */ #shown = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;
  /** What the server said about a wish of ours, until the next snapshot. */ #refusal = '';
  #asking = false;

  #fallback = slot();
  #title = element('span', 'title');
  #percent = element('span', 'percent');
  #fill = element('div', 'fill');
  #bar = element('div', 'bar', this.#fill);
  #status = element('span', 'status');
  #message = element('span', 'message');
  #left = element('span', 'left');
  #file = element('a', 'file');
  #cancel = element('button', 'cancel');
  #actions = element('div', 'actions', this.#left, this.#file, this.#cancel);
  #live = element('div', 'live');
  #refused = element('div', 'refused');
  #base = element(
    'div',
    'base',
    element('div', 'head', slot('title', this.#title), this.#percent),
    this.#bar,
    element('div', 'foot', element('div', 'words', this.#status, this.#message), this.#actions),
    slot('extra'),
  );

  constructor() {
    super();
    ProgRockElement.#sheet ??= style();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [ProgRockElement.#sheet];
    this.#bar.role = 'progressbar';
    this.#bar.ariaValueMin = '0';
    this.#bar.ariaValueMax = '100';
    this.#live.role = 'status';
    this.#live.ariaLive = 'polite';
    this.#cancel.type = 'button';
    this.#cancel.addEventListener('click', () => this.cancel());
    this.#base.tabIndex = -1;
    this.#base.hidden = true;
    root.append(this.#fallback, this.#refused, this.#base, this.#live);
  }

  /** The last snapshot, or null before the first. @returns {Snapshot | null} */
  get snapshot() {
    return this.#shown;
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    this.#end();
  }

  attributeChangedCallback() {
    if (!this.isConnected) return;
    this.#end();
    this.#begin();
  }

  /** Ask for the job to be cancelled; what comes of it is shown. @returns {Promise<void>} */
  async cancel() {
    if (!this.#client || this.#asking || this.#shown?.complete || this.#shown?.state === 'cancelling') return;
    this.#asking = true;
    this.#refusal = '';
    this.#render();
    try {
      await this.#client.cancel(this.#job);
    } catch (error) {
      this.#refusal = `Could not cancel. ${error instanceof Error ? error.message : ''}`;
    }
    this.#asking = false;
    this.#render();
  }

  #begin() {
    const job = this.getAttribute('job');
    if (!job) return;
    this.#job = job;
    this.#client = ProgRock.shared(this.getAttribute('src') ?? undefined);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    this.#client.addEventListener('snapshot', this.#onSnapshot, { signal });
    this.#client.addEventListener('state', this.#render, { signal });
    this.#client.addEventListener('refused', this.#onRefused, { signal });
    this.#client.watch(job).then(
      (snapshot) => snapshot.job === this.#job && this.#show(snapshot),
      () => {}, // told by `refused`
    );
    // Ages and times left go on while nothing comes.
    this.#ticking = setInterval(this.#render, 1000);
  }

  #end() {
    clearInterval(this.#ticking);
    this.#listening?.abort();
    this.#client?.unwatch(this.#job);
    this.#client = null;
    this.#shown = null;
    this.#refusal = '';
    this.#job = '';
  }

  /** @param {Event} event */
  #onSnapshot = (event) => {
    const { detail } = /** @type {CustomEvent<Snapshot>} */ (event);
    if (detail.job === this.#job) this.#show(detail);
  };

  /** @param {Event} event */
  #onRefused = (event) => {
    const { detail } = /** @type {CustomEvent<{job: string, code: string, message: string}>} */ (event);
    if (detail.job !== this.#job) return;
    this.#refusal = detail.code === 'not_found' ? 'The server does not know this job.' : detail.message;
    this.#render();
  };

  /** @param {Snapshot} snapshot */
  #show(snapshot) {
    const before = this.#shown;
    if (before === snapshot) return;
    this.#shown = snapshot;
    this.#refusal = '';
    const words = announcement(before, snapshot);
    if (words) this.#live.textContent = words;
    if (snapshot.complete) clearInterval(this.#ticking);
    this.#render();
    this.#tell('progress');
    const ending = ENDINGS[snapshot.state];
    if (ending) {
      this.#tell(ending);
      this.#tell('loadend');
    }
  }

  /** @param {string} type */
  #tell(type) {
    const percent = this.#shown?.percent ?? null;
    const known = { lengthComputable: percent !== null, loaded: percent ?? 0, total: 100 };
    this.dispatchEvent(new ProgressEvent(type, known));
  }

  #render = () => {
    const client = this.#client;
    const snapshot = this.#shown;
    if (!client) return;
    if (!snapshot) {
      // Nothing is known: the page's own words stay, unless the server refuses to say more.
      this.#base.hidden = true;
      this.#fallback.hidden = false;
      this.#refused.textContent = this.#refusal;
      return;
    }
    const since = client.last(this.#job)?.since ?? 0;
    const connected = client.connection.state === 'open';
    const { state, progress, complete, percent, title, misses } = snapshot;
    const odd = condition(snapshot, since, connected);
    // An estimate from before the trouble would be a promise.
    const left = odd ? '' : timeLeft(snapshot, since);

    this.setAttribute('state', state);
    this.setAttribute('progress', String(progress));
    this.setAttribute('misses', String(misses));
    this.toggleAttribute('complete', complete);
    if (odd) this.setAttribute('condition', odd);
    else this.removeAttribute('condition');

    this.#fallback.hidden = true;
    this.#refused.textContent = '';
    this.#base.hidden = false;
    this.#title.textContent = title;
    this.#percent.textContent = percent === null && !complete ? '' : `${progress} %`;
    this.#status.textContent = status(snapshot, since, connected);
    this.#message.textContent = this.#refusal || reason(snapshot);
    this.#left.textContent = left;
    this.#left.hidden = !left;
    this.style.setProperty('--_progress', String((percent ?? progress) / 100));

    this.#bar.ariaLabel = title;
    // Null is honest: a bar without a value is one whose end nobody knows.
    this.#bar.ariaValueNow = percent === null && !complete ? null : String(progress);
    this.#bar.ariaValueText = [percent === null ? '' : `${progress} %`, left].filter(Boolean).join(', ') || null;

    this.#file.hidden = snapshot.file === null;
    if (snapshot.file !== null) {
      this.#file.href = client.file(this.#job);
      this.#file.textContent = 'Open the file';
      this.#file.ariaLabel = `Open the file: ${title}`;
      this.#file.type = snapshot.file;
    }

    const busy = this.#asking || state === 'cancelling';
    // A button that goes must not take the keyboard's place on the page with it.
    if (complete && this.shadowRoot?.activeElement === this.#cancel) this.#base.focus();
    this.#cancel.hidden = complete;
    this.#cancel.ariaDisabled = String(busy);
    this.#cancel.textContent = this.#asking && !connected ? 'Cancel once connected' : 'Cancel';
    this.#cancel.ariaLabel = `${this.#cancel.textContent}: ${title}`;
  };
}

if (!customElements.get('prog-rock')) customElements.define('prog-rock', ProgRockElement);
