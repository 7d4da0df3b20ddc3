// @ts-check
// <prog-rock job="…" src="/prog/">: one job, shown as it is, with a way to cancel it or try it again.

import { ProgRock } from './client.js';
import { readSnapshot, supersedes } from './snapshot.js';
import { style } from './style.js';
import { announcement, condition, join, message, percent as percentage, say, status, timeLeft } from './words.js';

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {{n: number, level: string, text: string}} Line of a journal */

/** How a job ended, in the words of ProgressEvent. @type {Partial<Record<string, string>>} */
const ENDINGS = { succeeded: 'load', failed: 'error', cancelled: 'abort' };

/** For how long a button that changed takes no click, which would be meant for what it was; in milliseconds. */
const REFLEX = 400;

/** The attributes that tell of a job. */
const STATE = ['state', 'progress', 'complete', 'misses', 'condition'];

/** How many lines of the journal are shown. */
const LINES = 200;

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {string} part @param {(Node | string)[]} children */
export function element(tag, part, ...children) {
  const made = document.createElement(tag);
  made.setAttribute('part', part);
  made.append(...children);
  return made;
}

/** Text that is the same stays, and with it what a person has selected. @param {Element} where @param {string} [text] */
const put = (where, text = '') => {
  if (where.textContent !== text) where.textContent = text;
};

/** @param {string} [name] @param {Node[]} fallback */
export function slot(name, ...fallback) {
  const made = document.createElement('slot');
  if (name) made.name = name;
  made.append(...fallback);
  return made;
}

/** A page may have two copies of a module. @param {string} name @param {CustomElementConstructor} type */
export const define = (name, type) => customElements.get(name) ?? customElements.define(name, type);

/** @param {HTMLElement} host @param {import('./client.js').Options} [options] */
export const clientOf = (host, options) => ProgRock.shared(host.getAttribute('src') ?? undefined, options);

/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockElement extends HTMLElement {
  static observedAttributes = ['job', 'src'];

  /** @type {ProgRock | null} */ #client = null;
  /** @type {AbortController | undefined} */ #listening;
  #placed = false;
  #job = '';
  /** @type {Snapshot | null} */ #shown = null;
  /** When the snapshot that the page came with was new, by performance.now(). */ #came = 0;
  #watching = false;
  /** The number of the last line. */ #line = 0;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #ticking;
  /** What the server said about a wish of ours, until the next snapshot. */ #refusal = '';
  #asking = false;
  /** @type {'' | 'cancel' | 'retry'} what the button does */ #offer = '';
  #fresh = false;

  #fallback = slot();
  #title = element('bdi', 'title');
  #percent = element('span', 'percent');
  #fill = element('div', 'fill');
  #bar = element('div', 'bar', this.#fill);
  #status = element('span', 'status');
  #message = element('bdi', 'message');
  #attempt = element('span', 'attempt');
  #left = element('span', 'left');
  #file = element('a', 'file', say('Open the file'));
  #button = element('button', 'cancel');
  #actions = element('div', 'actions', this.#left, this.#file, this.#button);
  #journal = element('ol', 'journal');
  #live = element('div', 'live');
  #refused = element('div', 'refused');
  #base = element(
    'div',
    'base',
    element('div', 'head', slot('title', this.#title), this.#percent),
    this.#bar,
    element('div', 'foot', element('div', 'words', this.#status, this.#message, this.#attempt), this.#actions),
    this.#journal,
    slot('extra'),
  );

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [style()];
    this.#bar.role = 'progressbar';
    this.#live.role = 'status';
    this.#button.type = 'button';
    this.#button.addEventListener('click', () => {
      if (this.#offer && this.#button.ariaDisabled !== 'true') this[this.#offer]();
    });
    // It scrolls, so that the keyboard must be able to get there.
    this.#journal.tabIndex = 0;
    this.#journal.hidden = true;
    this.#base.tabIndex = -1;
    this.#base.hidden = true;
    root.append(this.#fallback, this.#refused, this.#base, this.#live);
  }

  /** The last snapshot, or null before the first. @returns {Snapshot | null} */
  get snapshot() {
    return this.#shown;
  }

  connectedCallback() {
    this.#placed = true;
    if (!this.#client) this.#begin();
  }

  disconnectedCallback() {
    // Who is only moved to another place in the page forgets nothing.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#placed = false;
      this.#end();
    });
  }

  /** @param {string} _ @param {string | null} before @param {string | null} now */
  attributeChangedCallback(_, before, now) {
    // Those that the page came with are seen before its place is.
    if (!this.#placed || before === now) return;
    this.#end();
    if (this.isConnected) this.#begin();
  }

  /** Ask for the job to be cancelled; what comes of it is shown. @returns {Promise<void>} */
  async cancel() {
    if (!this.#shown?.complete && this.#shown?.state !== 'cancelling') await this.#ask('cancel');
  }

  /** Ask for a job that is over to be tried again; the new job takes its place here. @returns {Promise<void>} */
  async retry() {
    if (this.#shown?.complete) await this.#ask('retry');
  }

  /** @param {'cancel' | 'retry'} action */
  async #ask(action) {
    const job = this.#job;
    if (!this.#client || this.#asking) return;
    this.#asking = true;
    this.#refusal = '';
    this.#render();
    const answer = await this.#client[action](job).catch((/** @type {Error} */ error) => error);
    // The page may show another job by now.
    if (this.#job !== job) return;
    this.#asking = false;
    if (answer instanceof Error) this.#refusal = `${say('That did not work')}. ${answer.message}`;
    else if (answer.job !== job) return this.setAttribute('job', answer.job);
    this.#render();
  }

  #begin() {
    const job = this.getAttribute('job');
    if (!job) return this.#render();
    this.#job = job;
    const client = (this.#client = clientOf(this));
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    for (const type of ['snapshot', 'lines', 'refused', 'state']) client.addEventListener(type, this.#hear, { signal });
    // Ages and times left go on while nothing comes.
    this.#ticking = setInterval(this.#render, 1000);
    const first = client.last(job)?.snapshot ?? this.#given(job);
    if (first) this.#show(first);
    else this.#render();
    // What is over stays as the page has it.
    this.#watching = !first?.complete || this.hasAttribute('journal');
    if (!this.#watching) return;
    this.#add(client.lines(job));
    client.watch(job).then(
      (snapshot) => snapshot.job === this.#job && this.#show(snapshot),
      () => {}, // told by `refused`
    );
  }

  /** What the page came with, which is the frame that answers a watch. @param {string} job @returns {Snapshot | null} */
  #given(job) {
    try {
      const frame = JSON.parse(this.getAttribute('snapshot') ?? 'null');
      const snapshot = readSnapshot(frame);
      if (snapshot?.job !== job) return null;
      this.#came = performance.now() - Math.max(0, frame.now - snapshot.at || 0);
      return snapshot;
    } catch {
      return null;
    }
  }

  #end() {
    clearInterval(this.#ticking);
    this.#listening?.abort();
    if (this.#watching) this.#client?.unwatch(this.#job);
    this.#watching = false;
    this.#add([], true);
    this.#client = null;
    this.#shown = null;
    this.#refusal = '';
    this.#asking = false;
    this.#job = '';
  }

  /** @param {Event} event */
  #hear = (event) => {
    const { type, detail } = /** @type {CustomEvent} */ (event);
    if (type === 'state') return this.#render();
    if (detail.job !== this.#job) return;
    if (type === 'snapshot') {
      // What the page came with is old from here on, wherever in the page this is moved to.
      this.removeAttribute('snapshot');
      return this.#show(detail);
    }
    if (type === 'refused') {
      this.#refusal = detail.code === 'not_found' ? say('The server does not know this job.') : detail.message;
      return this.#render();
    }
    /** @type {{lines: Line[], reset: boolean}} */
    const { lines, reset } = detail;
    const seen = this.#line && !reset;
    // A line that comes late has its place before others.
    this.#add(this.#client?.lines(this.#job) ?? [], reset || (lines[0]?.n ?? Infinity) <= this.#line);
    // What had been said before anybody looked is no news, nor is what goes well.
    const news = lines.filter(({ level }) => level === 'warning' || level === 'error');
    if (seen && news.length) this.#live.textContent = news.map(({ text }) => text).join('\n');
  };

  /** @param {readonly Line[]} lines @param {boolean} [reset] whether they are all that there is */
  #add(lines, reset = false) {
    const list = this.#journal;
    if (reset) {
      list.replaceChildren();
      this.#line = 0;
    }
    if (!this.hasAttribute('journal')) return;
    const fresh = lines.filter(({ n }) => n > this.#line);
    this.#line = fresh.at(-1)?.n ?? this.#line;
    const atEnd = list.scrollTop + list.clientHeight > list.scrollHeight - 9;
    list.append(
      ...fresh.slice(-LINES).map(({ level, text }) => {
        const line = element('li', `line ${level}`, text);
        line.dir = 'auto';
        return line;
      }),
    );
    while (list.childElementCount > LINES) list.firstElementChild?.remove();
    list.hidden = !list.childElementCount;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }

  /** @param {Snapshot} snapshot */
  #show(snapshot) {
    const before = this.#shown;
    if (before === snapshot || !supersedes(before ?? undefined, snapshot, true)) return;
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
    const out = client?.connection.reason === 'signed-out' && 'signed-out';
    if (!client || !snapshot) {
      // Nothing is known: the page's own words stay, unless the server refuses to say more.
      for (const name of STATE) this.removeAttribute(name);
      this.#base.hidden = true;
      this.#fallback.hidden = false;
      put(this.#refused, out ? say('You are signed out.') : this.#refusal);
      return;
    }
    const held = client.last(this.#job);
    const { since, told } = held ?? { since: performance.now() - this.#came, told: 0 };
    // Before the first try failed, nothing is lost.
    const connected = out || client.connection.state === 'open' || (!held && client.connection.again === null);
    const { state, progress, complete, percent, title, misses, attempt, file, can_retry } = snapshot;
    const odd = condition(snapshot, since, connected, told);
    // An estimate from before the trouble would be a promise.
    const left = odd ? '' : timeLeft(snapshot, since);

    this.setAttribute('state', state);
    this.setAttribute('progress', String(progress));
    this.setAttribute('misses', String(misses));
    this.toggleAttribute('complete', complete);
    if (odd) this.setAttribute('condition', odd);
    else this.removeAttribute('condition');

    this.#fallback.hidden = true;
    put(this.#refused);
    this.#base.hidden = false;
    put(this.#title, title);
    const known = percent !== null || complete;
    const amount = percentage(progress);
    put(this.#percent, known ? amount : '');
    put(this.#status, status(snapshot, since, connected, told));
    put(this.#message, [this.#refusal, message(snapshot)].filter(Boolean).join(' '));
    put(this.#attempt, attempt > 1 ? say('attempt {count}', { count: attempt }) : '');
    put(this.#left, left);
    this.#left.hidden = !left;
    this.style.setProperty('--_progress', String((percent ?? progress) / 100));

    this.#bar.ariaLabel = title;
    // Null is honest: a bar without a value is one whose end nobody knows.
    this.#bar.ariaValueNow = known ? String(progress) : null;
    this.#bar.ariaValueText = join(known && amount, left) || null;
    this.#journal.ariaLabel = `${say('Journal')}: ${title}`;

    this.#file.hidden = !file;
    this.#file.href = client.file(this.#job);
    this.#file.type = file ?? '';
    this.#file.ariaLabel = `${say('Open the file')}: ${title}`;

    const offer = this.hasAttribute('readonly') ? '' : !complete ? 'cancel' : state === 'succeeded' || !can_retry ? '' : 'retry';
    if (offer !== this.#offer) {
      // It must not take the keyboard's place on the page with it, nor be pressed by a key that is held down.
      if (this.shadowRoot?.activeElement === this.#button) this.#base.focus();
      this.#fresh = Boolean(this.#offer);
      setTimeout(() => {
        this.#fresh = false;
        this.#render();
      }, REFLEX);
      this.#offer = offer;
      this.#button.setAttribute('part', offer);
    }
    this.#button.hidden = !offer;
    this.#button.ariaDisabled = String(this.#asking || this.#fresh || state === 'cancelling');
    const words = offer === 'retry' ? say('Retry') : say('Cancel');
    put(this.#button, this.#asking && connected !== true ? say('{action} once connected', { action: words }) : words);
    this.#button.ariaLabel = `${this.#button.textContent}: ${title}`;
  };
}

define('prog-rock', ProgRockElement);
