// @ts-check
// The demo page: the record and its button, my tracks, and how the connection is.

import { ProgRock } from '../progrock/client.js';
import '../progrock/elements.js';
import { condition, duration } from '../progrock/words.js';
import { record } from './record.js';
import { readTitle } from './title.js';
import { Tracks } from './tracks.js';

/** @typedef {import('../progrock/snapshot.js').Snapshot} Snapshot */

/** The record turns once in this many bars of what is playing: slow enough to be looked at. */
const BARS_A_TURN = 8;

/**
 * @template {Element} T
 * @param {string} selector
 * @param {new (...args: any[]) => T} type
 * @returns {T}
 */
function find(selector, type) {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`This page has no ${selector}.`);
  return found;
}

const button = find('#rock-out', HTMLButtonElement);
const notes = find('#notes', HTMLFormElement);
const details = find('#notes details', HTMLDetailsElement);
const wishes = find('#wishes', HTMLElement);
const refusal = find('#refusal', HTMLElement);
const list = find('#tracks', HTMLElement);
const empty = find('#empty', HTMLElement);
const connection = find('#connection', HTMLElement);
const connectionWords = find('#connection-words', HTMLElement);
const connectionWait = find('#connection-wait', HTMLElement);

const endpoint = list.dataset.endpoint || '/prog/';
const client = ProgRock.shared(endpoint);
const tracks = new Tracks(list, endpoint, (job) => client.file(job));
const spin = record(find('.stage', HTMLElement), find('#record', SVGSVGElement), find('#rings', SVGSVGElement));
/** @type {Map<string, Snapshot>} */
const unfinished = new Map();

// The button

/** @returns {Record<string, string | number>} only what was chosen */
function chosen() {
  const form = new FormData(notes);
  /** @type {Record<string, string | number>} */
  const params = {};
  const meter = String(form.get('meter') ?? '');
  if (meter) params.meter = meter;
  for (const name of ['tempo', 'length']) {
    const value = String(form.get(name) ?? '');
    if (value) params[name] = Number(value);
  }
  return params;
}

function describeWishes() {
  const { meter = 'any meter', tempo, length } = chosen();
  wishes.textContent = [meter, tempo ? `${tempo} bpm` : 'any tempo', length ? `${length} s` : ''].filter(Boolean).join(', ');
}

let starting = false;
let tapped = -Infinity;

/** @param {MouseEvent} event */
async function rockOut(event) {
  // The second half of a double click is no second wish; touch screens do not count clicks.
  const touch = event instanceof PointerEvent && event.pointerType === 'touch';
  const again = event.detail > 1 || (touch && event.timeStamp - tapped < 400);
  tapped = event.timeStamp;
  if (starting || again) return;
  if (!notes.checkValidity()) {
    details.open = true;
    notes.reportValidity();
    return;
  }
  starting = true;
  button.ariaDisabled = 'true';
  button.ariaBusy = 'true';
  refusal.textContent = client.connection.state === 'open' ? '' : 'Not connected. It starts as soon as the connection is back.';
  try {
    await client.start({ params: chosen() });
    refusal.textContent = '';
  } catch (error) {
    const { code = '', message = '' } = /** @type {{code?: string, message?: string}} */ (error);
    refusal.textContent = refusalWords(code, message);
  }
  starting = false;
  button.ariaDisabled = null;
  button.ariaBusy = null;
}

/** @param {string} code @param {string} message */
function refusalWords(code, message) {
  if (code === 'too_many') return `That is too much at once. ${message}`;
  if (code === 'invalid_params') return `The band will not play that. ${message}`;
  if (code === 'unavailable') return `The studio is closed at the moment. Try again in a little while. ${message}`;
  return `That did not start. ${message}`;
}

button.addEventListener('click', rockOut);
// A held Enter key clicks again and again.
button.addEventListener('keydown', (event) => event.repeat && event.preventDefault());
notes.addEventListener('submit', (event) => event.preventDefault());
notes.addEventListener('input', describeWishes);
describeWishes();

// The tracks and the record

/** @param {Snapshot} snapshot */
function show(snapshot) {
  tracks.show(snapshot);
  empty.hidden = true;
  if (snapshot.complete) unfinished.delete(snapshot.job);
  else unfinished.set(snapshot.job, snapshot);
  turn();
}

let named = document.title;

/** The toasts put the percentage before it. @param {string} title */
function name(title) {
  if (title === named) return;
  document.title = document.title.replace(named, () => title);
  named = title;
}

function turn() {
  const order = [...unfinished.values()].sort((a, b) => b.created - a.created);
  const newest = order.find(({ state }) => state !== 'pending') ?? order[0];
  const title = newest && readTitle(newest.title);
  name(title ? `${title.name} · ProgRock` : 'ProgRock');
  const meter = title?.meter ?? null;
  const quarters = meter ? (meter.beats * 4) / meter.unit : 4;
  const connected = client.connection.state === 'open';
  const moves =
    newest?.state === 'running' && !condition(newest, client.last(newest.job)?.since ?? 0, connected);
  spin({
    percent: newest ? (newest.percent ?? newest.progress) : 0,
    beats: meter?.beats ?? null,
    turn: title?.tempo ? (BARS_A_TURN * quarters * 60) / title.tempo : null,
    moves,
    cut: Boolean(newest),
  });
}

client.addEventListener('snapshot', (event) => show(/** @type {CustomEvent<Snapshot>} */ (event).detail));

// The connection

function tellConnection() {
  const { state, again, reason } = client.connection;
  connection.dataset.state = state;
  const words = reason === 'signed-out' ? 'Signed out' : { open: 'Connected', connecting: 'Connecting', closed: 'Disconnected' }[state];
  // Only a change is news to a screen reader; the countdown is not.
  if (connectionWords.textContent !== words) connectionWords.textContent = words;
  const wait = again === null ? 0 : again - Date.now();
  connectionWait.textContent = wait > 1000 ? `, next try in ${duration(wait)}` : '';
}

client.addEventListener('state', () => {
  tellConnection();
  turn();
});
setInterval(() => {
  tellConnection();
  turn();
}, 1000);

client.list().then(
  (jobs) => {
    // If the toasts have asked before, nobody is told of them again.
    jobs.forEach(show);
    empty.hidden = jobs.length + tracks.size > 0;
  },
  (error) => {
    refusal.textContent = `Your tracks could not be listed. ${error.message}`;
  },
);
tellConnection();
turn();
