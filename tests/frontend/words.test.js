// What people read: times, ages, conditions, and when a screen reader speaks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSnapshot } from '../../frontend/static/progrock/snapshot.js';
import {
  LATE_AFTER, QUIET_AFTER, ago, announcement, condition, duration, lateness, message, status, timeLeft,
} from '../../frontend/static/progrock/words.js';
import { snapshot } from './fixtures.js';

/** Without the spaces that hold numbers and units together. */
const plain = (words) => words.replaceAll('\u00a0', ' ');
const made = (changes) => readSnapshot(snapshot(changes));

test('durations', () => {
  const cases = [[0, '0 sec'], [-5, '0 sec'], [1499, '1 sec'], [59_400, '59 sec'], [60_000, '1 min'], [65_000, '1 min 5 sec'],
    [3_600_000, '1 hr'], [7_380_000, '2 hr 3 min']];
  for (const [ms, words] of cases) assert.equal(plain(duration(ms)), words);
});

test('who is signed out is told that, before all that may be wrong, but of nothing that is over', () => {
  const odd = made({ misses: 3, stalled: true });
  assert.equal(condition(odd, 60_000, 'signed-out'), 'signed-out');
  assert.equal(status(odd, 60_000, 'signed-out'), 'You are signed out. This is how it stood.');
  assert.equal(condition(made({ state: 'succeeded', progress: 100, complete: true }), 0, 'signed-out'), '');
});

test('time left goes on while nothing comes, and promises nothing at its end', () => {
  assert.equal(plain(timeLeft(made({ left: 11_460 }), 0)), 'about 11 sec left');
  assert.equal(plain(timeLeft(made({ left: 11_460 }), 3000)), 'about 8 sec left');
  assert.equal(timeLeft(made({ left: 11_460 }), 60_000), 'any moment');
  assert.equal(timeLeft(made({ left: null }), 0), '');
  assert.equal(timeLeft(made({ state: 'cancelling' }), 0), '');
  assert.equal(timeLeft(made({ state: 'failed' }), 0), '');
});

test('the age of the last answer, and of the last movement, is server time, plus what passed here', () => {
  for (const clock of ['heard', 'moved']) {
    assert.equal(ago(made({ at: 9000, [clock]: 2000 }), 5000, clock), 12_000);
    assert.equal(ago(made({ at: 2000, [clock]: 9000 }), -4, clock), 0);
    assert.equal(ago(made({ at: 9000, [clock]: null, created: 1000 }), 0, clock), 8000);
  }
});

test('how late we are is server time, plus what passed here, and nothing before the look is due', () => {
  assert.equal(lateness(made({ at: 9000, due: 10_000 }), 500), 0);
  assert.equal(lateness(made({ at: 9000, due: 10_000 }), 4000), 3000);
  assert.equal(lateness(made({ due: null }), 99_999), 0);
});

test('the worst condition is the one shown', () => {
  const now = { at: 20_000, heard: 20_000, moved: 1000, due: 20_200 };
  const all = [made({ ...now, misses: 2, stalled: true }), LATE_AFTER + 201];
  const none = [made(now), 0];
  const worst = (snapshot, since, connected, told) => condition(snapshot, since, connected, told);
  assert.equal(worst(...all, false, all[1]), 'disconnected');
  assert.equal(worst(...all, true, all[1]), 'late');
  assert.equal(worst(...all, true, 0), 'retrying');
  assert.equal(worst(made({ ...now, stalled: true }), all[1], true, 0), 'quiet');
  assert.equal(worst(made({ ...now, stalled: true }), QUIET_AFTER, true, 0), 'stalled');
  assert.equal(worst(...none, true, 0), '');
  for (const state of ['succeeded', 'failed', 'cancelled']) {
    assert.equal(worst(made({ ...now, stalled: true, state }), all[1], false, all[1]), '');
  }
});

test('a service that nobody has asked yet is not called quiet', () => {
  assert.equal(condition(made({ at: 20_000, heard: 20_000, due: 50_000 }), 29_000, true), '');
  assert.equal(condition(made({ at: 20_000, heard: 20_000, due: 50_000 }), 36_000, true), 'quiet');
});

test('where the server tells no due time, nobody is called late', () => {
  const older = made({ at: 20_000, heard: 20_000, due: undefined });
  assert.equal(condition(older, QUIET_AFTER, true, QUIET_AFTER), '');
  assert.equal(condition(older, 60_000, true, 60_000), 'quiet');
});

test('we are late only where the server said so: an update may be lost, and a page may sleep', () => {
  const due = made({ at: 20_000, heard: 20_000, due: 20_000 });
  assert.equal(condition(due, 3_600_000, true, 0), 'quiet');
  assert.equal(condition(due, 3_600_000, true, LATE_AFTER), 'quiet');
  assert.equal(condition(due, LATE_AFTER + 1, true, LATE_AFTER + 1), 'late');
});

test('every state has its line', () => {
  const silent = { at: 20_000, heard: 8000, due: 9000 };
  const still = { at: 200_000, heard: 200_000, moved: 20_000, due: 201_000, stalled: true };
  const late = { at: 20_000, heard: 19_000, due: 20_200 };
  const lines = {
    Waiting: status(made({ state: 'pending' }), 0, true),
    Running: status(made(), 0, true),
    'Still going, last answer 12 sec ago': status(made(silent), 0, true),
    'Still cancelling, last answer 12 sec ago': status(made({ ...silent, state: 'cancelling' }), 0, true),
    'Still waiting after 9 sec': status(made({ state: 'pending', heard: null, at: 1000, created: 1000, due: 1000 }), 9000, true),
    'Still going, last answer 2 sec ago, no movement for 3 min 2 sec': status(made(still), 2000, true, 0),
    'Still cancelling, last answer 2 sec ago, no movement for 3 min 2 sec': status(made({ ...still, state: 'cancelling' }), 2000, true, 0),
    'Still going, last answer 12 sec ago, no movement for 3 min 12 sec': status(made(still), 12_000, true, 0),
    'Still going, nothing heard yet': status(made({ ...silent, heard: null, created: 9000 }), 0, true, 0),
    'Waiting for our turn to look, 20 sec late. The delay is on our side.': status(made(late), 20_200, true, 12_000),
    'No answer, asking again, tries: 2, nothing heard yet':
      status(made({ misses: 2, heard: null, at: 10_000, created: 1000 }), 0, true),
    'No answer, asking again, tries: 1, last answer 2 sec ago': status(made({ misses: 1 }), 2000, true),
    'No answer, asking again, tries: 3, last answer 2 sec ago': status(made({ misses: 3 }), 2000, true),
    'Connection lost. This is how it stood.': status(made(), 0, false),
    Cancelling: status(made({ state: 'cancelling' }), 0, true),
    Done: status(made({ state: 'succeeded' }), 0, false),
    'Failed.': status(made({ state: 'failed' }), 0, true),
    Cancelled: status(made({ state: 'cancelled' }), 0, true),
  };
  for (const [expected, line] of Object.entries(lines)) assert.equal(plain(line), expected);
});

test('a failure has a reason, and the words of the service beside it', () => {
  const failed = made({ state: 'failed', message: 'm', error: { code: 'deadline', message: 'why' } });
  assert.equal(status(failed, 0, true), 'Failed. It took too long.');
  assert.equal(message(failed), 'why');
  assert.equal(status(made({ state: 'failed', error: { code: 'c', message: 'why' } }), 0, true), 'Failed.');
  assert.equal(message(made({ state: 'failed', message: '', error: null })), 'No reason was given.');
  assert.equal(message(made({ message: 'Recording the organ' })), 'Recording the organ');
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
  assert.deepEqual(said, ['T: Started', 'T: 25%', 'T: 50%', 'T: 75%', 'T: Done']);
});

test('what was over before anybody looked is no news', () => {
  assert.equal(announcement(null, made({ state: 'succeeded' })), '');
  assert.equal(announcement(null, made({ progress: 60 })), '');
});

test('ends that are not a success say so', () => {
  assert.equal(announcement(made(), made({ title: 'T', state: 'cancelled' })), 'T: Cancelled');
  const failed = made({ title: 'T', state: 'failed', error: { code: 'c', message: 'why' } });
  assert.equal(announcement(made(), failed), 'T: Failed. why');
});
