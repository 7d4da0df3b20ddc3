// Waits stay inside their bounds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, CAP, backoff, spread } from '../../frontend/static/progrock/backoff.js';

const most = () => 1 - Number.EPSILON;

test('the longest wait doubles from the base to the cap', () => {
  const waits = [0, 1, 2, 3, 4, 5, 6, 1000].map((attempt) => Math.round(backoff(attempt, most)));
  assert.deepEqual(waits, [BASE, 1000, 2000, 4000, 8000, CAP, CAP, CAP]);
});

test('the jitter is full: a wait may be nothing at all', () => {
  assert.equal(backoff(7, () => 0), 0);
});

test('real randomness stays inside the bounds', () => {
  for (let i = 0; i < 1000; i += 1) {
    const wait = backoff(i % 12);
    assert.ok(wait >= 0 && wait <= CAP);
  }
});

test('spread is a fifth either way', () => {
  assert.equal(spread(12_000, () => 0), 9600);
  assert.equal(spread(12_000, () => 0.5), 12_000);
  assert.equal(Math.round(spread(12_000, most)), 14_400);
});
