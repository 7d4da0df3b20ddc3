// @ts-check
// The bars of Django's admin: asks now and then how the jobs stand that the page shows, until all of them are over.

import { isObject, readSnapshot, supersedes } from '../snapshot.js';
import { message, percent, status, timeLeft } from '../words.js';

/** @typedef {import('../snapshot.js').Snapshot} Snapshot */

/** How long to wait between two questions, in ms; longer while nobody answers. */
const EVERY = 2_000;
const SELDOM = 30_000;
/** How long an answer may take, in ms. */
const PATIENCE = 10_000;
/** How many lines of a journal are shown. */
const LINES = 200;

/** One job of the page. */
class Row {
  /** @param {HTMLElement} element @param {Snapshot} snapshot @param {number} age of it, in ms */
  constructor(element, snapshot, age) {
    this.element = element;
    this.snapshot = snapshot;
    this.came = performance.now() - age;
    this.told = performance.now();
    this.connected = true;
  }

  /** @param {Snapshot} snapshot @param {number} age */
  take(snapshot, age) {
    this.told = performance.now();
    if (!supersedes(this.snapshot, snapshot, true)) return;
    // The same again is no younger for having been asked for.
    if (snapshot.seq !== this.snapshot.seq) this.came = this.told - age;
    this.snapshot = snapshot;
  }

  show() {
    const { element, snapshot, connected } = this;
    const since = performance.now() - this.came;
    const known = snapshot.percent !== null || snapshot.complete;
    element.dataset.state = snapshot.state;
    const bar = element.querySelector('progress');
    if (bar && known) bar.value = snapshot.progress;
    else bar?.removeAttribute('value');
    /** @param {string} name @param {string} text */
    const put = (name, text) => {
      const where = element.querySelector(`.rock-${name}`);
      if (where && where.textContent !== text) where.textContent = text;
    };
    put('percent', known ? percent(snapshot.progress) : '');
    put('left', connected ? timeLeft(snapshot, since) : '');
    put('status', status(snapshot, since, connected, this.told - this.came));
    put('message', message(snapshot));
  }
}

/** @type {Map<string, Row>} those that are not over */
const rows = new Map();
const journal = document.getElementById('rock-journal');
const where = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name=progrock-live]'))?.content ?? '';
let misses = 0;

/** @param {unknown} lines */
function write(lines) {
  if (!journal || !Array.isArray(lines)) return;
  const atEnd = journal.scrollTop + journal.clientHeight > journal.scrollHeight - 9;
  for (const { n, seq, level, text } of lines) {
    journal.dataset.after = String(Math.max(seq, Number(journal.dataset.after)));
    const last = /** @type {HTMLElement | null} */ (journal.lastElementChild);
    if (n <= Number(last?.dataset.n ?? 0)) continue;
    const line = document.createElement('li');
    Object.assign(line.dataset, { n, level });
    line.dir = 'auto';
    line.textContent = text;
    journal.append(line);
  }
  while (journal.childElementCount > LINES) journal.firstElementChild?.remove();
  if (atEnd) journal.scrollTop = journal.scrollHeight;
}

/** Ask once. @returns {Promise<boolean>} whether to ask again */
async function ask() {
  const query = [...rows.keys()].map((job) => `job=${job}`);
  if (journal) query.push(`after=${journal.dataset.after}`);
  const response = await fetch(`${where}?${query.join('&')}`, {
    headers: { Accept: 'application/json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(PATIENCE),
  });
  // Who is logged out, or may look no longer, is sent elsewhere.
  if (response.type === 'opaqueredirect' || (response.status >= 400 && response.status < 500)) return false;
  if (!response.ok) throw new Error(`Expected an answer, got ${response.status}.`);
  const answer = await response.json();
  if (!isObject(answer) || !Array.isArray(answer.jobs)) throw new Error('Expected jobs, got something else.');
  write(answer.journal);
  const told = new Set(answer.jobs.map((each) => each?.job));
  // What is not told of is gone.
  for (const [job, row] of rows) {
    if (told.has(job)) continue;
    row.connected = false;
    row.show();
    rows.delete(job);
  }
  for (const each of answer.jobs) {
    const snapshot = readSnapshot(each);
    const row = snapshot && rows.get(snapshot.job);
    if (snapshot && row) row.take(snapshot, Math.max(0, Number(answer.now) - snapshot.at || 0));
  }
  return true;
}

async function look() {
  let more = true;
  if (!document.hidden) {
    try {
      more = await ask();
      misses = 0;
    } catch {
      misses += 1;
    }
    for (const row of rows.values()) row.connected = more && !misses;
    show();
  }
  for (const [job, { snapshot }] of rows) if (snapshot.complete) rows.delete(job);
  if (!more) return;
  // The page of one job tells more of it once it is over.
  if (rows.size) setTimeout(look, Math.min(SELDOM, EVERY * 2 ** Math.min(misses, 4)));
  else if (journal) location.reload();
}

function show() {
  for (const row of rows.values()) row.show();
}

for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll('[data-rock]'))) {
  const frame = JSON.parse(element.dataset.rock ?? 'null');
  const snapshot = readSnapshot(frame);
  if (snapshot) rows.set(snapshot.job, new Row(element, snapshot, Math.max(0, frame.now - snapshot.at || 0)));
}
if (rows.size) {
  // Ages and times left go on while nothing comes.
  setInterval(show, 1000);
  if (journal) journal.scrollTop = journal.scrollHeight;
  setTimeout(look, EVERY / 2);
}
