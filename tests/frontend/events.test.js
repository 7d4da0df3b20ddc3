// Events of channels: heard by who subscribed, over reconnects, in all tabs, by websocket and by stream.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/progrock.js';
import { readFileSync } from 'node:fs';
import { FakeLocks, FakeSocket, FakeSource, fakeFetch, fakeTab, forget, open, pass, settle, sockets, sources } from './fakes.js';
import { frames, snapshot } from './fixtures.js';

const [EVENT] = frames('server', 'event');
const [SUBSCRIBED] = frames('server', 'subscribed');
const ROOM = EVENT.channel;
const JOB = snapshot().job;

let clients;

const make = (options) => {
  const client = new ProgRock('http://test/prog/', {
    WebSocket: FakeSocket, EventSource: FakeSource, fetch: fakeFetch, random: () => 0.5, now: Date.now, ...options,
  });
  clients.push(client);
  return client;
};
const socket = () => sockets.at(-1);
/** Answer all subscribes that have no answer yet. */
const serve = async (changes) => {
  const answered = (socket().answered ??= new Set());
  for (const { ref, channel } of socket().asked('subscribe')) {
    if (answered.has(ref)) continue;
    answered.add(ref);
    socket().say({ ...SUBSCRIBED, channel, ref, ...changes });
  }
  await settle();
};
const heard = (client, channel = ROOM, event = EVENT.event) => {
  const said = [];
  client.on(channel, event, (data) => said.push(data));
  return said;
};

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  clients = [];
});

afterEach(() => {
  for (const client of clients) client.close();
  mock.timers.reset();
  mock.restoreAll();
});

test('an event reaches who listens to its name on its channel', async () => {
  const client = make();
  const ready = client.subscribe(ROOM);
  const [said, other, name] = [heard(client), heard(client, 'other'), heard(client, ROOM, 'left')];
  socket().hello();
  const [example] = frames('client', 'subscribe');
  assert.deepEqual({ ...socket().asked('subscribe')[0], ref: example.ref }, example);
  await serve();
  await ready;
  socket().say(EVENT, { ...EVENT, channel: 'other' }, { ...EVENT, event: 7, data: null }, { type: 'event' });
  assert.deepEqual([said, other, name], [[EVENT.data], [], []]);
});

test('who has ended twice what was begun twice hears nothing, and the server is told once', async () => {
  const client = make();
  for (let i = 0; i < 2; i += 1) client.subscribe(ROOM);
  const said = heard(client);
  socket().hello();
  await serve();
  client.unsubscribe(ROOM);
  socket().say(EVENT);
  client.unsubscribe(ROOM);
  client.unsubscribe(ROOM);
  socket().say(EVENT);
  assert.deepEqual(said, [EVENT.data]);
  assert.deepEqual(socket().asked('unsubscribe'), frames('client', 'unsubscribe'));
  socket().die();
  await pass(2000);
  socket().hello();
  assert.deepEqual(socket().asked('subscribe'), []);
});

test('a new connection subscribes again, to each channel once', async () => {
  const client = make();
  client.subscribe(ROOM);
  client.subscribe('me');
  socket().hello();
  await serve();
  socket().die();
  await pass(2000);
  socket().hello();
  assert.deepEqual(socket().asked('subscribe').map(({ channel }) => channel), [ROOM, 'me']);
});

test('what is unavailable is asked for again, what is refused is not', async () => {
  const client = make();
  const refusals = [];
  client.addEventListener('refused', ({ detail }) => detail.channel === ROOM && refusals.push(detail.code));
  const refused = client.subscribe(ROOM);
  socket().hello();
  await serve({ type: 'error', code: 'unavailable', message: 'Later.' });
  await assert.rejects(refused, { code: 'unavailable' });
  await pass(20_000);
  assert.equal(socket().asked('subscribe').length, 2);
  await serve({ type: 'error', code: 'not_found', message: 'No.' });
  await pass(20_000);
  assert.equal(socket().asked('subscribe').length, 2);
  assert.deepEqual(refusals, ['not_found']);
});

test('one tab subscribes for all who want it, and lets go with the last', async () => {
  const locks = new FakeLocks();
  const tabs = [0, 1, 2].map(() => fakeTab());
  const [first, second, third] = tabs.map((tab) => make({ BroadcastChannel: tab.BroadcastChannel, locks: tab.locks(locks), who: 'me' }));
  for (const client of [first, second, third]) client.connect();
  await settle();
  assert.equal(sockets.length, 1);
  socket().hello();
  await settle();
  const ready = [second.subscribe(ROOM), third.subscribe(ROOM)];
  // A job and its channel are not the same.
  third.watch(ROOM).catch(() => {});
  await settle();
  await serve();
  await Promise.all(ready);
  const said = [first, second, third].map((client) => heard(client));
  socket().say(EVENT);
  await settle();
  assert.deepEqual(said.map(({ length }) => length), [0, 1, 1]);
  second.unsubscribe(ROOM);
  await settle();
  assert.deepEqual(socket().asked('unsubscribe'), []);
  third.close();
  await settle();
  assert.equal(socket().asked('unsubscribe').length, 1);
  assert.equal(socket().asked('unwatch').length, 1);
});

const toStream = async (client) => {
  client.connect();
  for (let i = 0; i < 2; i += 1) {
    socket().die();
    await pass(1000);
  }
  open('jobs/?limit=1')[0].answer({ type: 'jobs', jobs: [] });
  await settle();
};

test('a stream brings events, and says what is refused', async () => {
  const client = make();
  await toStream(client);
  const [ready, refused] = [client.subscribe(ROOM), client.subscribe('no/way')];
  await pass(100);
  const path = `http://test/prog/updates?&channel=${ROOM}&channel=no%2Fway`;
  assert.deepEqual(sources.map(({ url }) => url), [path]);
  const said = heard(client);
  sources[0].say({ type: 'subscribed', channel: ROOM }, { type: 'error', code: 'not_found', message: 'No.', channel: 'no/way' }, EVENT);
  await ready;
  await assert.rejects(refused, { code: 'not_found' });
  assert.deepEqual(said, [EVENT.data]);
  await client.subscribe(ROOM);
  client.unsubscribe('no/way');
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ frames: [snapshot({ type: 'snapshot' })], now: 1 });
  await settle();
  assert.match(sources.at(-1).url, new RegExp(`job=${JOB}.*&channel=${ROOM}$`));
});

test('polling brings none, and a better way does', async () => {
  const client = make();
  await toStream(client);
  const refused = client.subscribe(ROOM);
  await pass(100);
  sources[0].die();
  await pass(1000);
  open('jobs/?limit=1')[0]?.answer({ type: 'jobs', jobs: [] });
  await settle();
  await assert.rejects(refused, { code: 'unavailable' });
  const tried = sockets.length;
  for (let i = 0; i < 300 && sockets.length === tried; i += 1) await pass(1000);
  socket().hello();
  await settle();
  assert.deepEqual(socket().asked('subscribe').map(({ channel }) => channel), [ROOM]);
});

test('the page of the how-to shows what it hears', async () => {
  const text = readFileSync(new URL('../../docs/howto/send-an-event.md', import.meta.url), 'utf8');
  const [, block] = /^```js page\n.*\n([^]*?)^```/m.exec(text);
  const shown = [];
  const document = { querySelector: () => ({ append: (item) => shown.push(item.textContent) }), createElement: () => ({}) };
  new Function('ProgRock', 'document', block)({ shared: () => make() }, document);
  socket().hello();
  await serve();
  socket().say({ ...EVENT, channel: 'me', event: 'commented', data: { article: 7 } });
  socket().say({ ...EVENT, channel: 'article.7', event: 'commented', data: { text: 'Well!' } });
  assert.deepEqual(shown, ['Somebody has commented on 7.', 'Well!']);
});
