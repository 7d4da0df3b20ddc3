// @ts-check
// The track list on the back of the sleeve: one line for each of my jobs and all its attempts, newest first.

import { readTitle } from './title.js';
import { waveform } from './waveform.js';

/** @typedef {import('../progrock/snapshot.js').Snapshot} Snapshot */
/**
 * @typedef {object} Track
 * @property {string} job the last attempt, which is the one shown
 * @property {number} attempt
 * @property {HTMLLIElement} line
 * @property {HTMLElement} number
 * @property {HTMLElement} signature
 * @property {HTMLElement} heading
 * @property {HTMLElement} view
 * @property {number} created when the first attempt was asked for, as far as we know
 * @property {string} title
 * @property {HTMLElement | null} player
 */

/** @param {string} tag @param {string} className @param {string} [text] */
function element(tag, className, text = '') {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** The list, in an <ol>. */
export class Tracks {
  /** @type {Map<string, Track>} by each of its attempts */ #tracks = new Map();
  /** @type {HTMLElement} */ #list;
  /** @type {string} */ #endpoint;
  /** @type {(job: string) => string} */ #file;

  /**
   * @param {HTMLElement} list
   * @param {string} endpoint
   * @param {(job: string) => string} file where the file of a job is
   */
  constructor(list, endpoint, file) {
    this.#list = list;
    this.#endpoint = endpoint;
    this.#file = file;
  }

  get size() {
    return this.#tracks.size;
  }

  /** @param {Snapshot} snapshot */
  show(snapshot) {
    const { job, retry_of: before, attempt, created } = snapshot;
    const track = this.#tracks.get(job) ?? this.#tracks.get(before ?? '') ?? this.#make(snapshot);
    this.#tracks.set(job, track);
    // The list is newest first: an attempt may be known before the one that it tries again.
    if (before) this.#tracks.set(before, track);
    if (created < track.created || !track.line.isConnected) {
      track.created = created;
      this.#place(track);
    }
    if (job !== track.job) {
      if (attempt <= track.attempt) return;
      this.#follow(track, snapshot);
    }
    if (track.title !== snapshot.title) this.#name(track, snapshot);
    track.line.dataset.state = snapshot.state;
    if (snapshot.state === 'succeeded' && snapshot.file?.startsWith('audio/') && !track.player) {
      track.player = waveform(this.#file(job), readTitle(snapshot.title).name);
      track.player.slot = 'extra';
      track.view.append(track.player);
    }
  }

  /** @param {Snapshot} snapshot @returns {Track} */
  #make({ job, attempt, created }) {
    const line = document.createElement('li');
    line.dataset.job = job;
    const number = element('span', 'number');
    const signature = element('span', 'signature');
    const heading = element('div', 'heading');
    heading.slot = 'title';
    const view = document.createElement('prog-rock');
    view.setAttribute('job', job);
    view.setAttribute('src', this.#endpoint);
    view.append(heading);
    line.append(number, signature, view);
    return { job, attempt, line, number, signature, heading, view, created, title: '', player: null };
  }

  /** It is tried again: the new attempt takes the line of the old. @param {Track} track @param {Snapshot} snapshot */
  #follow(track, { job, attempt }) {
    Object.assign(track, { job, attempt });
    track.line.dataset.job = job;
    track.view.setAttribute('job', job);
    track.title = '';
    track.player?.remove();
    track.player = null;
  }

  /** A service may find its title later than the job its start. @param {Track} track @param {Snapshot} snapshot */
  #name(track, { title, attempt }) {
    const { name, meter, tempo } = readTitle(title);
    const words = [tempo && `${tempo} bpm`, attempt > 1 && `attempt ${attempt}`].filter(Boolean).join(', ');
    track.title = title;
    track.heading.replaceChildren(element('h2', '', name), ...(words ? [element('span', 'tempo', words)] : []));
    track.signature.role = meter ? 'img' : null;
    track.signature.ariaLabel = meter ? `${meter.beats}/${meter.unit}` : null;
    const digits = meter ? [meter.beats, meter.unit] : [];
    track.signature.replaceChildren(...digits.map((digit) => element('span', '', String(digit))));
  }

  /** @param {Track} track */
  #place(track) {
    const order = [...new Set(this.#tracks.values())].sort((a, b) => b.created - a.created);
    const next = order[order.indexOf(track) + 1];
    this.#list.insertBefore(track.line, next?.line ?? null);
    order.forEach(({ number }, i) => {
      number.textContent = `A${order.length - i}`;
    });
  }
}
