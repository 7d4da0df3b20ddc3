// What the demo page reads in a title.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTitle } from '../../frontend/static/rock/title.js';

test('name, meter and tempo', () => {
  assert.deepEqual(readTitle('The Clockmaker — 7/8, 142 bpm'), { name: 'The Clockmaker', meter: { beats: 7, unit: 8 }, tempo: 142 });
});

test('any of it may be missing', () => {
  assert.deepEqual(readTitle('Plain'), { name: 'Plain', meter: null, tempo: null });
  assert.deepEqual(readTitle('A — B'), { name: 'A — B', meter: null, tempo: null });
  assert.deepEqual(readTitle('A — B — 96 bpm'), { name: 'A — B', meter: null, tempo: 96 });
  assert.deepEqual(readTitle('A — 0/8'), { name: 'A', meter: null, tempo: null });
  assert.equal(readTitle(' — 7/8').name, ' — 7/8');
});
