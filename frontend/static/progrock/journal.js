// @ts-check
// The lines of one job's journal, and up to where we have them all.

import { amount, isObject, text } from './snapshot.js';

/** @typedef {NonNullable<ReturnType<typeof readLine>>} Line the keys are those of docs/reference/protocol.md */
/** @typedef {import('./snapshot.js').Snapshot} Snapshot */

/** How many lines a page keeps of a job. */
const MOST = 1000;

/** A line made of what came over the wire, or null if it has no number. @param {unknown} value */
export function readLine(value) {
  if (!isObject(value) || !Number.isSafeInteger(value.n) || Number(value.n) < 1) return null;
  const { n, seq, at, level, data = null } = value;
  return Object.freeze({
    n: Number(n), seq: amount(seq) ?? 0, at: amount(at) ?? 0, level: text(level) || 'info', text: text(value.text), data,
  });
}

export class Journal {
  /** @type {readonly Line[]} by their numbers */ lines = [];
  /** @type {number | undefined} the cursor: the seq of the last snapshot whose lines we all have */ after;
  /** How many lines are accounted for: had, or no longer to be had. */ #count = 0;

  /**
   * Merge what a frame brings.
   *
   * @param {Record<string, unknown>} frame
   * @param {Snapshot} snapshot that frame's
   * @returns {Line[]} those that we did not have
   */
  take({ journal, resume }, { seq, lines: count }) {
    if (resume === 'reset') {
      this.lines = [];
      this.#count = 0;
    }
    /** @type {Line[]} */
    const told = (Array.isArray(journal) ? journal.map(readLine) : []).filter((line) => line !== null);
    const merged = new Map(this.lines.map((line) => [line.n, line]));
    const fresh = told.filter(({ n }) => !merged.has(n)).sort((a, b) => a.n - b.n);
    for (const line of told) merged.set(line.n, line);
    if (told.length) this.lines = [...merged.values()].sort((a, b) => a.n - b.n).slice(-MOST);
    // A hole is one until the server has been asked: then what is not there is not kept.
    for (const { n } of fresh) if (n === this.#count + 1) this.#count = n;
    if (resume) this.#count = Math.max(this.#count, count);
    if (seq && count <= this.#count && (resume || seq > (this.after ?? 0))) this.after = seq;
    return fresh;
  }

  /** Whether there are lines that we were not told. @param {Snapshot} snapshot */
  lacks({ lines }) {
    return lines > this.#count;
  }
}
