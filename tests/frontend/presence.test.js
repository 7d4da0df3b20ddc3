// Pages that are hidden, frozen, put away, asleep, and back.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/progrock.js';
import { FakeSocket, forget, pass, sockets } from './fakes.js';
import { snapshot } from './fixtures.js';

const JOB = snapshot().job;
const { seq } = snapshot();
const NAMES = ['addEventListener', 'removeEventListener'];
let page;
let client;

const connect = (options) =>
  (client = new ProgRock('ws://test/prog/', { WebSocket: FakeSocket, random: () => 0.5, now: Date.now, ...options }));
const socket = () => sockets.at(-1);
const serve = () => {
  for (const { ref, job } of socket().asked('watch')) socket().say(snapshot({ type: 'snapshot', resume: 'reset', journal: [], ref, job }));
  for (const { ref } of socket().asked('ping')) socket().say({ type: 'pong', ref });
};
const see = (state) => {
  page.visibilityState = state;
  page.dispatchEvent(new Event('visibilitychange'));
};
const live = async (seconds) => {
  for (let i = 0; i < seconds; i += 1) {
    await pass(1000, 1000);
    serve();
  }
};

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  page = Object.assign(new EventTarget(), { visibilityState: 'visible', querySelector: () => null, cookie: '' });
  for (const name of NAMES) globalThis[name] = page[name].bind(page);
  globalThis.document = page;
});

afterEach(() => {
  client.close();
  for (const name of [...NAMES, 'document']) delete globalThis[name];
  mock.timers.reset();
  mock.restoreAll();
});

test('a page hidden for five minutes lets go, and is back with its cursor once it is seen', async () => {
  connect().watch(JOB);
  socket().hello();
  serve();
  see('hidden');
  await live(299);
  assert.equal(client.connection.state, 'open');
  await live(2);
  assert.deepEqual(client.connection, { state: 'closed', again: null, reason: 'paused' });
  assert.equal(sockets[0].closed, true);
  await pass(3_600_000, 60_000);
  assert.equal(sockets.length, 1);
  see('visible');
  assert.equal(sockets.length, 2);
  socket().hello();
  assert.deepEqual(socket().asked('watch').map(({ job, after }) => [job, after]), [[JOB, seq]]);
});

test('a glance elsewhere changes nothing', async () => {
  connect().watch(JOB);
  socket().hello();
  serve();
  for (let i = 0; i < 5; i += 1) {
    see('hidden');
    await live(200);
    see('visible');
  }
  assert.equal(sockets.length, 1);
  assert.equal(client.connection.state, 'open');
});

test('who wants to be told in the background stays', async () => {
  connect({ background: true }).watch(JOB);
  socket().hello();
  serve();
  see('hidden');
  await live(1000);
  assert.equal(client.connection.state, 'open');
  client.background = false;
  see('hidden');
  await live(301);
  assert.equal(client.connection.reason, 'paused');
});

test('anybody on the page may ask for the background', () => {
  client = ProgRock.shared('ws://test/prog/');
  assert.equal(client.background, false);
  assert.equal(ProgRock.shared('ws://test/prog/', { background: true }), client);
  assert.equal(ProgRock.shared('ws://test/prog/').background, true);
});

test('a page that is frozen or put away lets go at once, and comes back', () => {
  connect({ background: true }).watch(JOB);
  socket().hello();
  for (const [away, back] of [['freeze', 'resume'], ['pagehide', 'pageshow']]) {
    const before = sockets.length;
    page.dispatchEvent(new Event(away));
    assert.equal(client.connection.reason, 'paused', away);
    page.dispatchEvent(new Event(back));
    assert.equal(sockets.length, before + 1, back);
    socket().hello();
  }
});

test('who wants to be told in the background is back as soon as the page can run, seen or not', async () => {
  for (const [background, more] of [[true, 1], [false, 0]]) {
    see('visible');
    connect({ background }).watch(JOB).catch(() => {});
    socket().hello();
    see('hidden');
    page.dispatchEvent(new Event('freeze'));
    const before = sockets.length;
    page.dispatchEvent(new Event('resume'));
    assert.equal(sockets.length, before + more);
    if (background) socket().hello().die(1013);
    page.dispatchEvent(new Event('online'));
    assert.equal(sockets.length, before + 2 * more);
    client.close();
  }
});

test('a hidden page that asks for something is connected, and lets go again', async () => {
  connect().watch(JOB);
  socket().hello();
  serve();
  see('hidden');
  await live(301);
  client.start().catch(() => {});
  assert.equal(client.connection.state, 'connecting');
  socket().hello();
  socket().say(snapshot({ type: 'accepted', ref: socket().asked('start')[0].ref }));
  await live(301);
  assert.equal(client.connection.reason, 'paused');
});

test('after the lid was closed nothing is trusted', async () => {
  connect().watch(JOB);
  socket().hello();
  serve();
  await live(3);
  mock.timers.setTime(Date.now() + 600_000);
  await pass(1000);
  assert.ok(socket().asked('ping').length >= 1 || sockets.length > 1);
});

test('the end of a session is not undone by being seen', async () => {
  connect().watch(JOB);
  socket().hello().die(4401);
  socket().die(4401);
  see('hidden');
  see('visible');
  page.dispatchEvent(new Event('online'));
  await pass(60_000, 1000);
  assert.equal(sockets.length, 2);
  assert.equal(client.connection.reason, 'signed-out');
});
