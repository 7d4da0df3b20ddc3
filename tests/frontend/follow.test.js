// A job's lines and snapshots as somebody's own page gets them: by events, and by an async iterator.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/progrock.js';
import { FakeSocket, forget, pass, settle, sockets } from './fakes.js';
import { snapshot } from './fixtures.js';

const JOB = snapshot().job;
const { seq } = snapshot();
const line = (n) => ({ n, seq: n, at: n, level: 'info', text: `line ${n}`, data: null });

let client;
const socket = () => sockets.at(-1);
const answer = (changes) => {
  const { ref, job } = socket().asked('watch').at(-1);
  socket().say(snapshot({ type: 'snapshot', resume: 'reset', journal: [], ref, job, ...changes }));
};
const done = { seq: seq + 99, state: 'succeeded', progress: 100 };

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  client = new ProgRock('ws://test/prog/', { WebSocket: FakeSocket, random: () => 0.5, now: Date.now });
});

afterEach(() => {
  client.close();
  mock.timers.reset();
  mock.restoreAll();
});

test('a job is followed to its end, and then left', async () => {
  const seen = [];
  const following = (async () => {
    for await (const { progress } of client.follow(JOB)) seen.push(progress);
  })();
  socket().hello();
  answer();
  await settle();
  for (let i = 1; i < 4; i += 1) {
    socket().say(snapshot({ seq: seq + i, progress: 42 + i }));
    await settle();
  }
  socket().say(snapshot(done));
  await following;
  assert.deepEqual(seen, [42, 43, 44, 45, 100]);
  assert.equal(client.last(JOB), null);
  assert.equal(socket().asked('unwatch').length, 1);
});

test('who is slow gets the newest, and the end', async () => {
  const following = client.follow(JOB);
  socket().hello();
  answer();
  for (let i = 1; i < 50; i += 1) socket().say(snapshot({ seq: seq + i, progress: 43 + i }));
  assert.equal((await following.next()).value.progress, 92);
  socket().say(snapshot({ seq: seq + 60, progress: 93 }), snapshot(done));
  const { value } = await following.next();
  assert.equal(value.state, 'succeeded');
  assert.ok(client.last(JOB), 'what is known stays for who looks at the last snapshot');
  assert.deepEqual(await following.next(), { value: undefined, done: true });
});

test('a job that is over is told once', async () => {
  client.watch(JOB);
  socket().hello();
  answer(done);
  const seen = [];
  for await (const each of client.follow(JOB)) seen.push(each.state);
  assert.deepEqual(seen, ['succeeded']);
});

test('who leaves early leaves at once', async () => {
  const following = client.follow(JOB);
  socket().hello();
  answer();
  await following.next();
  const waiting = following.next();
  assert.deepEqual(await following.return(), { value: undefined, done: true });
  assert.deepEqual(await waiting, { value: undefined, done: true });
  assert.equal(socket().asked('unwatch').length, 1);
  assert.deepEqual(await following.next(), { value: undefined, done: true });
});

test('a job that is not there is an error; other refusals pass', async () => {
  const following = client.follow(JOB);
  socket().hello();
  const next = following.next();
  socket().say({ type: 'error', code: 'unavailable', message: 'later', ref: socket().asked('watch')[0].ref });
  await pass(15_000);
  socket().say({ type: 'error', code: 'not_found', message: 'no', ref: socket().asked('watch')[1].ref });
  await assert.rejects(next, { code: 'not_found', message: 'no' });
  assert.deepEqual(await following.next(), { value: undefined, done: true });
});

test('a client that is closed says so to who waits', async () => {
  const next = client.follow(JOB).next();
  client.close();
  await assert.rejects(next, { code: 'closed' });
});

test('lines come before the snapshot that counts them, each once, and are kept', () => {
  const told = [];
  client.addEventListener('lines', ({ detail }) => told.push([detail.reset, detail.resume, detail.lines.map(({ n }) => n)]));
  client.addEventListener('snapshot', ({ detail }) => told.push(detail.lines));
  client.watch(JOB);
  socket().hello();
  answer({ lines: 2, journal: [line(1), line(2)] });
  socket().say(snapshot({ seq: seq + 1, lines: 3, journal: [line(3)] }), snapshot({ seq: seq + 1, lines: 3, journal: [line(3)] }));
  assert.deepEqual(told, [[true, 'reset', [1, 2]], 2, [false, null, [3]], 3]);
  assert.deepEqual(client.lines(JOB).map(({ text }) => text), ['line 1', 'line 2', 'line 3']);
  assert.deepEqual(client.lines('unknown'), []);
});

test('the same again, asked for after a silence, is no news; a cancel with the same seq is', async () => {
  const seen = [];
  client.addEventListener('snapshot', ({ detail }) => seen.push(detail.state));
  client.watch(JOB);
  socket().hello();
  answer();
  await pass(13_000);
  assert.equal(socket().asked('watch').length, 2);
  answer({ resume: 'recovered' });
  assert.deepEqual(seen, ['running']);
  client.cancel(JOB);
  socket().say(snapshot({ type: 'snapshot', ref: socket().asked('cancel')[0].ref, state: 'cancelling' }));
  assert.deepEqual(seen, ['running', 'cancelling']);
});

test('after a reconnect the cursor is sent, and what was missed comes', async () => {
  client.watch(JOB);
  socket().hello();
  answer({ lines: 1, journal: [line(1)] });
  socket().say(snapshot({ seq: seq + 4, lines: 2, journal: [line(2)] }));
  socket().die();
  await pass(1000);
  socket().hello();
  assert.equal(socket().asked('watch')[0].after, seq + 4);
  answer({ seq: seq + 9, lines: 4, resume: 'recovered', journal: [line(3), line(4)] });
  assert.deepEqual(client.lines(JOB).map(({ n }) => n), [1, 2, 3, 4]);
});

test('a hole is asked for once in a while, from before it', async () => {
  client.watch(JOB);
  socket().hello();
  answer({ lines: 1, journal: [line(1)] });
  for (let i = 3; i < 9; i += 1) socket().say(snapshot({ seq: seq + i, lines: i, journal: [line(i)] }));
  assert.equal(socket().asked('watch').length, 1);
  await pass(2000);
  assert.deepEqual(socket().asked('watch').map(({ after }) => after), [undefined, seq]);
  answer({ seq: seq + 9, lines: 8, resume: 'recovered', journal: [2, 3, 4, 5, 6, 7, 8].map(line) });
  assert.deepEqual(client.lines(JOB).map(({ n }) => n), [1, 2, 3, 4, 5, 6, 7, 8]);
  await pass(8000);
  assert.equal(socket().asked('watch').length, 2);
});

test('a server that counts lines it never gives is not asked without end', async () => {
  client.watch(JOB);
  socket().hello();
  answer({ lines: 0 });
  for (let i = 1; i <= 100; i += 1) {
    socket().say(snapshot({ seq: seq + i, lines: 50 }));
    await pass(100);
    if (socket().asked('watch').length > (socket().answers ?? 1)) {
      socket().answers = socket().asked('watch').length;
      answer({ seq: seq + i, lines: 0, resume: 'recovered' });
    }
  }
  assert.ok(socket().asked('watch').length <= 12, `${socket().asked('watch').length} in ten seconds`);
});

test('the lines of a job that is over and was only listed come when it is watched', async () => {
  client.list();
  socket().hello().say({ type: 'jobs', jobs: [snapshot({ ...done, lines: 2 })], ref: socket().sent[0].ref });
  assert.equal(socket().asked('watch').length, 0);
  assert.equal((await client.watch(JOB)).state, 'succeeded');
  answer({ ...done, lines: 2, journal: [line(1), line(2)] });
  assert.equal(client.lines(JOB).length, 2);
  await pass(20_000);
  assert.equal(socket().asked('watch').length, 1);
});

test('what a cancel answers counts lines that come later', async () => {
  client.watch(JOB);
  socket().hello();
  answer({ lines: 1, journal: [line(1)] });
  client.cancel(JOB).catch(() => {});
  const { ref } = socket().asked('cancel')[0];
  socket().say(snapshot({ type: 'snapshot', ref, seq: seq + 2, state: 'cancelling', lines: 3 }));
  await pass(2000);
  assert.equal(socket().asked('watch').at(-1).after, seq, 'the cursor is that before the lines');
});
