// @ts-check
// <prog-rock-jobs src="/prog/">: my jobs, newest first, each a <prog-rock> that stays where it is.

import { clientOf, define, element, slot } from './prog-rock.js';
import { style } from './style.js';
import { say } from './words.js';

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {import('./prog-rock.js').ProgRockElement} ProgRockElement */

/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockJobsElement extends HTMLElement {
  /** @type {AbortController | undefined} */ #listening;
  /** Attempts that have a successor. @type {Set<string>} */ #past = new Set();
  #empty = slot('empty');
  #refused = element('div', 'refused');

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [style()];
    this.#empty.hidden = true;
    root.append(this.#refused, slot(), this.#empty);
  }

  connectedCallback() {
    const client = clientOf(this);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    client.addEventListener('snapshot', this.#onSnapshot, { signal });
    client.addEventListener('jobs', this.#onJobs, { signal });
    client.addEventListener('signed-out', () => (this.#refused.textContent = say('You are signed out.')), { signal });
    client.list().catch((error) => {
      this.#refused.textContent = `${say('That did not work')}. ${error.message}`;
    });
    this.#count();
  }

  disconnectedCallback() {
    this.#listening?.abort();
  }

  /** @param {Event} event */
  #onSnapshot = (event) => this.#show(/** @type {CustomEvent<Snapshot>} */ (event).detail);

  /** @param {Event} event */
  #onJobs = (event) => {
    // Another list may have asked before this one was there.
    for (const snapshot of /** @type {CustomEvent<Snapshot[]>} */ (event).detail) this.#show(snapshot);
    this.#empty.hidden = this.#rows().length > 0;
    this.#refused.textContent = '';
  };

  /** The light DOM is the truth: what the page came with is a row like any other. */
  #rows() {
    // By name: their class may be that of another copy of the module.
    return /** @type {ProgRockElement[]} */ ([...this.children].filter(({ localName }) => localName === 'prog-rock'));
  }

  /** @param {Snapshot} snapshot */
  #show({ job, retry_of: before, parent, created, complete }) {
    // A group is one row, whoever else on the page looks at its children.
    if (parent) return;
    this.#refused.textContent = '';
    if (before) this.#past.add(before);
    if (this.#past.has(job)) return;
    const rows = this.#rows();
    const mine = rows.filter((row) => [job, before].includes(row.getAttribute('job')));
    const [row] = mine;
    for (const double of mine.slice(1)) double.remove();
    if (!row) this.#place(rows, job, created, complete);
    else if (row.getAttribute('job') !== job) row.setAttribute('job', job);
    // The rows hear of it after this list.
    queueMicrotask(() => this.#count());
  }

  /** @param {ProgRockElement[]} rows @param {string} job @param {number} created @param {boolean} complete */
  #place(rows, job, created, complete) {
    const limit = Number(this.getAttribute('limit')) || 50;
    const older = rows.findIndex(({ snapshot }) => (snapshot?.created ?? created) < created);
    if (complete && (this.hasAttribute('unfinished') || (older < 0 && rows.length >= limit))) return;
    const row = document.createElement('prog-rock');
    for (const name of ['src', 'journal']) {
      const value = this.getAttribute(name);
      if (value !== null) row.setAttribute(name, value);
    }
    row.setAttribute('job', job);
    this.insertBefore(row, rows[older] ?? null);
    this.#empty.hidden = true;
    // Who is at work stays, however many there are.
    for (const old of this.#rows().slice(limit)) if (old.snapshot?.complete) old.remove();
  }

  #count() {
    const rows = this.#rows();
    const complete = rows.filter(({ snapshot }) => snapshot?.complete).length;
    this.setAttribute('complete', String(complete));
    this.setAttribute('running', String(rows.length - complete));
    // A list of nothing is none to a screen reader.
    this.role = rows.length ? 'list' : null;
    for (const row of rows) row.role = 'listitem';
  }
}

define('prog-rock-jobs', ProgRockJobsElement);
