// What people read: times, ages, conditions, and when a screen reader speaks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSnapshot } from '../../frontend/static/progrock/snapshot.js';
import {
  announcement, condition, duration, reason, silence, status, timeLeft,
} from '../../frontend/static/progrock/words.js';
import { snapshot } from './fixtures.js';

/** Without the spaces that hold numbers and units together. */
const plain = (words) => words.replaceAll('\u00a0', ' ');
const made = (changes) => readSnapshot(snapshot(changes));

test('durations', () => {
  const cases = [[0, '0 s'], [-5, '0 s'], [1499, '1 s'], [59_400, '59 s'], [60_000, '1 min'], [65_000, '1 min 5 s'],
    [3_600_000, '1 h'], [7_380_000, '2 h 3 min']];
  for (const [ms, words] of cases) assert.equal(plain(duration(ms)), words);
});

test('time left goes on while nothing comes, and promises nothing at its end', () => {
  assert.equal(plain(timeLeft(made({ left: 11_460 }), 0)), 'about 11 s left');
  assert.equal(plain(timeLeft(made({ left: 11_460 }), 3000)), 'about 8 s left');
  assert.equal(timeLeft(made({ left: 11_460 }), 60_000), 'any moment');
  assert.equal(timeLeft(made({ left: null }), 0), '');
  assert.equal(timeLeft(made({ state: 'cancelling' }), 0), '');
  assert.equal(timeLeft(made({ state: 'failed' }), 0), '');
});

test('the age of the last answer is server time, plus what passed here', () => {
  assert.equal(silence(made({ at: 9000, heard: 2000 }), 5000), 12_000);
  assert.equal(silence(made({ at: 2000, heard: 9000 }), -4), 0);
  assert.equal(silence(made({ at: 9000, heard: null, created: 1000 }), 0), 8000);
});

test('the worst condition is the one shown', () => {
  const silent = { at: 20_000, heard: 8000 };
  assert.equal(condition(made(), 0, true), '');
  assert.equal(condition(made(silent), 0, true), 'quiet');
  assert.equal(condition(made({ ...silent, misses: 2 }), 0, true), 'retrying');
  assert.equal(condition(made({ ...silent, misses: 2 }), 0, false), 'disconnected');
  assert.equal(condition(made({ state: 'succeeded' }), 99_999, false), '');
});

test('every state has its line', () => {
  const silent = { at: 20_000, heard: 8000 };
  const lines = {
    Waiting: status(made({ state: 'pending' }), 0, true),
    Running: status(made(), 0, true),
    'Still going, last answer 12 s ago': status(made(silent), 0, true),
    'Still cancelling, last answer 12 s ago': status(made({ ...silent, state: 'cancelling' }), 0, true),
    'Still waiting, since 9 s': status(made({ state: 'pending', heard: null, at: 1000, created: 1000 }), 9000, true),
    'No answer, asking again. 1 try, last answer 2 s ago': status(made({ misses: 1 }), 2000, true),
    'No answer, asking again. 3 tries, last answer 2 s ago': status(made({ misses: 3 }), 2000, true),
    'Connection lost. This is how it stood.': status(made(), 0, false),
    Cancelling: status(made({ state: 'cancelling' }), 0, true),
    Done: status(made({ state: 'succeeded' }), 0, false),
    Failed: status(made({ state: 'failed' }), 0, true),
    Cancelled: status(made({ state: 'cancelled' }), 0, true),
  };
  for (const [expected, line] of Object.entries(lines)) assert.equal(plain(line), expected);
});

test('a failure has a reason', () => {
  assert.equal(reason(made({ state: 'failed', message: 'm', error: { code: 'c', message: 'why' } })), 'why');
  assert.equal(reason(made({ state: 'failed', message: '', error: null })), 'No reason was given.');
  assert.equal(reason(made({ message: 'Recording the organ' })), 'Recording the organ');
});

test('a screen reader hears beginnings, quarters and ends', () => {
  const said = [];
  let before = null;
  const steps = [{ state: 'pending', progress: 0 }, ...Array.from({ length: 100 }, (_, progress) => ({ progress })),
    { state: 'succeeded', progress: 100 }];
  for (const step of steps) {
    const now = made({ title: 'T', ...step });
    const words = announcement(before, now);
    if (words) said.push(words);
    before = now;
  }
  assert.deepEqual(said, ['T: started', 'T: 25 percent', 'T: 50 percent', 'T: 75 percent', 'T: done']);
});

test('what was over before anybody looked is no news', () => {
  assert.equal(announcement(null, made({ state: 'succeeded' })), '');
  assert.equal(announcement(null, made({ progress: 60 })), '');
});

test('ends that are not a success say so', () => {
  assert.equal(announcement(made(), made({ title: 'T', state: 'cancelled' })), 'T: cancelled');
  const failed = made({ title: 'T', state: 'failed', error: { code: 'c', message: 'why' } });
  assert.equal(announcement(made(), failed), 'T: failed. why');
});
