// Lines merged by number, whatever order they come in, and the cursor behind which there is no hole.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal, readLine } from '../../frontend/static/progrock/journal.js';
import { readSnapshot } from '../../frontend/static/progrock/snapshot.js';
import { frames, snapshot } from './fixtures.js';

const line = (n, text = `line ${n}`) => ({ n, seq: n * 10, at: n, level: 'info', text, data: null });
const numbers = (journal) => journal.lines.map(({ n }) => n);
/** What a snapshot with so many lines brings; returns the numbers that are new. */
const take = (journal, seq, lines, journals, resume) =>
  journal.take({ journal: journals, resume }, readSnapshot(snapshot({ seq, lines }))).map(({ n }) => n);
const lacks = (journal, lines) => journal.lacks(readSnapshot(snapshot({ lines })));

test('the lines of the protocol page are read whole', () => {
  const told = [...frames('server', 'update'), ...frames('server', 'snapshot')].flatMap(({ journal = [] }) => journal);
  assert.ok(told.length >= 3);
  for (const each of told) assert.deepEqual({ ...readLine(each) }, each);
});

test('a line without a number is none, the rest of it may be broken', () => {
  for (const broken of [null, 7, 'x', [], {}, { n: 0 }, { n: -1 }, { n: 1.5 }, { n: '1' }]) assert.equal(readLine(broken), null);
  assert.deepEqual({ ...readLine({ n: 1, text: 5, level: {}, at: 'x' }) }, { n: 1, seq: 0, at: 0, level: 'info', text: '', data: null });
});

test('in order, each is new once, and the cursor follows', () => {
  const journal = new Journal();
  assert.deepEqual(take(journal, 5, 2, [line(1), line(2)], 'reset'), [1, 2]);
  assert.deepEqual(take(journal, 6, 3, [line(3)]), [3]);
  assert.deepEqual(take(journal, 6, 3, [line(3)]), []);
  assert.deepEqual(take(journal, 7, 3), []);
  assert.deepEqual([numbers(journal), journal.after, lacks(journal, 3), lacks(journal, 4)], [[1, 2, 3], 7, false, true]);
});

test('out of order, they are put in order, and the cursor waits for the hole to be filled', () => {
  const journal = new Journal();
  take(journal, 5, 1, [line(1)], 'reset');
  take(journal, 8, 4, [line(4)]);
  assert.deepEqual([numbers(journal), journal.after, lacks(journal, 4)], [[1, 4], 5, true]);
  take(journal, 7, 3, [line(3), line(2)]);
  assert.deepEqual(numbers(journal), [1, 2, 3, 4]);
  assert.deepEqual(take(journal, 9, 4, [line(2), line(3), line(4)], 'recovered'), []);
  assert.deepEqual([journal.after, lacks(journal, 4)], [9, false]);
});

test('a line takes the place of one with the same number', () => {
  const journal = new Journal();
  take(journal, 5, 1, [line(1)], 'reset');
  assert.deepEqual(take(journal, 6, 1, [line(1, 'again')]), []);
  assert.deepEqual(journal.lines.map(({ text }) => text), ['again']);
});

test('what the server does not keep any more is not missed for ever', () => {
  const journal = new Journal();
  take(journal, 5, 500, [line(499), line(500)], 'reset');
  assert.deepEqual([numbers(journal), lacks(journal, 500), journal.after], [[499, 500], false, 5]);
  take(journal, 6, 501, [line(501)]);
  assert.equal(journal.after, 6);
});

test('a reset drops what was, also where the numbers begin anew', () => {
  const journal = new Journal();
  take(journal, 5, 3, [line(1), line(2), line(3)], 'reset');
  assert.deepEqual(take(journal, 9, 1, [line(1, 'anew')], 'reset'), [1]);
  assert.deepEqual([journal.lines.map(({ text }) => text), journal.after, lacks(journal, 2)], [['anew'], 9, true]);
});

test('an old update takes no cursor back; an answer does', () => {
  const journal = new Journal();
  take(journal, 5, 0, [], 'reset');
  take(journal, 4, 0);
  assert.equal(journal.after, 5);
  take(journal, 3, 0, [], 'recovered');
  assert.equal(journal.after, 3);
  take(journal, 0, 0, [], 'reset');
  assert.equal(journal.after, 3, 'before the first step there is no cursor');
});

test('a page keeps so many lines and no more', () => {
  const journal = new Journal();
  for (let n = 1; n <= 2500; n += 100) take(journal, n, n + 99, Array.from({ length: 100 }, (_, i) => line(n + i)), n === 1 ? 'reset' : undefined);
  assert.deepEqual([journal.lines.length, journal.lines[0].n, journal.lines.at(-1).n], [1000, 1501, 2500]);
  assert.equal(lacks(journal, 2500), false);
});
