// Which snapshots are believed, and which of two is kept.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSnapshot, supersedes } from '../../frontend/static/progrock/snapshot.js';
import { frames, snapshot } from './fixtures.js';

test('the snapshots of the protocol page are read whole', () => {
  const updates = frames('server', 'update');
  assert.ok(updates.length > 2);
  for (const { type, journal, ack, ...update } of updates) assert.deepEqual({ ...readSnapshot(update) }, update);
});

test('what cannot be ordered or shown is refused', () => {
  const hostile = [
    null, 7, 'x', [], {},
    snapshot({ job: '' }), snapshot({ job: {} }), snapshot({ seq: '9' }), snapshot({ seq: 2 ** 60 }),
    snapshot({ seq: 1.5 }), snapshot({ state: 'exploded' }), snapshot({ state: ['running'] }),
    snapshot({ progress: -1 }), snapshot({ progress: 101 }), snapshot({ progress: null }),
  ];
  for (const value of hostile) assert.equal(readSnapshot(value), null, JSON.stringify(value));
});

test('what is merely broken is left empty', () => {
  const read = readSnapshot(
    snapshot({ title: 5, percent: 'NaN', message: {}, misses: -3, left: -1, file: 7, error: 'no', heard: 'then' }),
  );
  assert.equal(read.title, read.job);
  assert.equal(read.percent, null);
  assert.equal(read.message, '');
  assert.equal(read.misses, 0);
  assert.equal(read.left, null);
  assert.equal(read.file, null);
  assert.equal(read.error, null);
  assert.equal(read.heard, null);
});

test('a server that does not tell of clocks and attempts is believed in the rest', () => {
  const { due, stalled, attempt, retry_of, parent, can_retry, ...older } = snapshot();
  const read = readSnapshot(older);
  assert.equal(read.can_retry, true);
  assert.deepEqual([read.due, read.stalled, read.attempt, read.retry_of, read.parent], [null, false, 1, null, null]);
  assert.equal(read.percent, older.percent);
});

test('broken clocks and attempts are left empty', () => {
  const read = readSnapshot(snapshot({ due: 'soon', stalled: 'no', attempt: -2, retry_of: 7, parent: {} }));
  assert.deepEqual([read.due, read.stalled, read.attempt, read.retry_of, read.parent], [null, false, 1, null, null]);
  assert.equal(readSnapshot(snapshot({ attempt: 2.9 })).attempt, 2);
  assert.equal(readSnapshot(snapshot({ attempt: 'x' })).attempt, 1);
});

test('complete is what the state says', () => {
  assert.equal(readSnapshot(snapshot({ state: 'running', complete: true })).complete, false);
  assert.equal(readSnapshot(snapshot({ state: 'failed', complete: false })).complete, true);
});

const at = (seq, state = 'running') => readSnapshot(snapshot({ seq, state }));

test('an update must be newer', () => {
  assert.equal(supersedes(undefined, at(1), false), true);
  assert.equal(supersedes(at(5), at(6), false), true);
  assert.equal(supersedes(at(5), at(5), false), false);
  assert.equal(supersedes(at(5), at(4), false), false);
});

test('an answer replaces, older or not', () => {
  assert.equal(supersedes(at(5), at(2), true), true);
  // After a server's restart no step has spoken yet: what we hold is better.
  assert.equal(supersedes(at(5), at(0), true), false);
  assert.equal(supersedes(at(0), at(0), true), true);
});

test('what a list has cut is made whole by the job itself, and not the other way round', () => {
  const cut = readSnapshot(snapshot({ state: 'succeeded', cut: true }));
  const whole = readSnapshot(snapshot({ state: 'succeeded', result: [1] }));
  assert.equal(cut.cut, true);
  assert.equal('cut' in whole, false);
  assert.equal(supersedes(cut, whole, true), true);
  assert.equal(supersedes(whole, cut, true), false);
  assert.equal(supersedes(cut, cut, true), false);
});

test('complete is final, whoever says otherwise', () => {
  for (const state of ['succeeded', 'failed', 'cancelled']) {
    assert.equal(supersedes(at(5, state), at(9), false), false);
    assert.equal(supersedes(at(5, state), at(9), true), false);
  }
});
