// The ways to the server: which one is taken, and that they are all the same to whoever asks.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/progrock.js';
import { FakeSocket, FakeSource, fakeFetch, forget, open, pass, requests, settle, sockets, sources } from './fakes.js';
import { frames, snapshot } from './fixtures.js';

const JOB = snapshot().job;
const OTHER = '00000000-0000-4000-8000-000000000000';
const { seq } = snapshot();

let client;
let states;

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  client = new ProgRock('http://test/prog/', {
    WebSocket: FakeSocket, EventSource: FakeSource, fetch: fakeFetch, random: () => 0.5, now: Date.now,
  });
  states = [];
  client.addEventListener('state', ({ detail }) => states.push(detail.state));
});

afterEach(() => {
  client.close();
  mock.timers.reset();
  mock.restoreAll();
});

const prove = async () => {
  open('jobs/?limit=1')[0].answer({ type: 'jobs', jobs: [] });
  await settle();
};

/** Websockets are refused: on to server-sent events. */
const toStream = async () => {
  client.connect();
  sockets.at(-1).die();
  await pass(1000);
  sockets.at(-1).die();
  await pass(1000);
  await prove();
  assert.equal(client.connection.state, 'open');
};

/** Streams bring nothing: on to polling. */
const toPoll = async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(1000);
  open('updates')[0].answer({ frames: [snapshot({ type: 'snapshot', resume: 'reset', journal: [] })], now: 1 });
  await settle();
  await pass(6000);
  await pass(1000);
  await prove();
  assert.equal(client.connection.state, 'open');
  await pass(1000);
};

const answer = (changes) => snapshot({ type: 'snapshot', resume: 'recovered', journal: [], ...changes });

test('two refused websockets, and it is server-sent events', async () => {
  await toStream();
  assert.equal(sockets.length, 2);
  assert.equal(sources.length, 0, 'nothing is watched yet');
  const watched = client.watch(JOB);
  await pass(100);
  assert.deepEqual(open().map(({ path }) => path), [`updates?job=${JOB}`]);
  open()[0].answer({ frames: [answer({ resume: 'reset' })], now: 5 });
  assert.equal((await watched).job, JOB);
  await settle();
  assert.deepEqual(sources.map(({ url }) => url), [`http://test/prog/updates?job=${JOB}:${seq}`]);
  sources[0].say(answer(), snapshot({ seq: seq + 1, progress: 43 }));
  assert.equal(client.last(JOB).snapshot.progress, 43);
});

test("a share link's token goes with all that is asked", async () => {
  client.close();
  client = new ProgRock('http://test/prog/?share=a:b', {
    WebSocket: FakeSocket, EventSource: FakeSource, fetch: fakeFetch, random: () => 0.5, now: Date.now,
  });
  client.connect();
  assert.equal(sockets.at(-1).url, 'ws://test/prog/?share=a:b');
  assert.equal(client.file(JOB), `http://test/prog/jobs/${JOB}/file?share=a%3Ab`);
  sockets.at(-1).die();
  await pass(1000);
  sockets.at(-1).die();
  await pass(1000);
  assert.equal(open()[0].path, 'jobs/?limit=1&share=a%3Ab');
  // Who may list nothing may still be told of a job.
  open()[0].answer({ code: 'not_found', detail: 'no' }, 404);
  await settle();
  assert.equal(client.connection.state, 'open');
  client.watch(JOB);
  await pass(100);
  assert.equal(new URL(open('updates')[0].path, 'http://test/prog/').searchParams.get('share'), 'a:b');
  open('updates')[0].answer({ frames: [answer()], now: 5 });
  await settle();
  assert.equal(new URL(sources[0].url).searchParams.get('share'), 'a:b');
});

test('a websocket that hangs once is enough', async () => {
  client.connect();
  await pass(10_000);
  await pass(1000);
  assert.equal(sockets.length, 1);
  await prove();
  assert.equal(client.connection.state, 'open');
});

test('a server that answers on no way is tried by websocket first again', async () => {
  client.connect();
  for (let i = 0; i < 12; i += 1) {
    if (open().length) open()[0].fail();
    else if (client.connection.state === 'connecting') sockets.at(-1).die();
    await pass(15_000);
  }
  assert.ok(sockets.length >= 6, `${sockets.length} of 12`);
  assert.ok(requests.length >= 3, `${requests.length} of 12`);
  assert.equal(sources.length, 0);
});

test('told to come back later is no reason to take another way', async () => {
  client.connect();
  for (let i = 0; i < 4; i += 1) {
    sockets.at(-1).die(i % 2 ? 4013 : 1013);
    assert.equal(client.connection.again - Date.now(), 7500);
    await pass(8000);
  }
  assert.equal(sockets.length, 5);
  assert.deepEqual(requests, []);
});

/** A page that says for whom it was made, and how often it was told that this one is signed out. */
const known = () => {
  client.close();
  client = new ProgRock('http://test/prog/', {
    WebSocket: FakeSocket, EventSource: FakeSource, fetch: fakeFetch, random: () => 0.5, now: Date.now, who: 'a b', locks: null,
  });
  const heard = { count: 0 };
  client.addEventListener('signed-out', () => (heard.count += 1));
  return heard;
};

test('who is sent away comes back once, at once, and says for whom the page is', async () => {
  const heard = known();
  client.watch(JOB).catch(() => {});
  sockets[0].hello().die(4401);
  assert.deepEqual(sockets.map(({ url }) => url), ['ws://test/prog/', 'ws://test/prog/?who=a+b']);
  assert.equal(client.connection.state, 'connecting');
  sockets[1].hello();
  assert.equal(sockets[1].asked('watch').length, 1);
  assert.equal(heard.count, 0);
  await pass(10_000);
  // Another time is another time.
  sockets[1].die(4401);
  assert.equal(sockets.length, 3);
  assert.equal(heard.count, 0);
});

test('who is sent away twice is signed out, and comes back when asked to', async () => {
  const heard = known();
  client.watch(JOB).catch(() => {});
  sockets[0].hello().die(4401);
  sockets[1].die(4401);
  assert.deepEqual(client.connection, { state: 'closed', again: null, reason: 'signed-out' });
  assert.equal(heard.count, 1);
  await pass(600_000);
  assert.equal(sockets.length, 2);
  client.connect();
  assert.equal(sockets.length, 3);
  assert.match(sockets[2].url, /who=/);
});

test('a session that ends just after the return is no reason to come back again and again', async () => {
  const heard = known();
  client.watch(JOB).catch(() => {});
  sockets[0].hello().die(4401);
  sockets[1].hello();
  await pass(5_000);
  sockets[1].die(4401);
  assert.equal(client.connection.reason, 'signed-out');
  assert.equal(heard.count, 1);
  await pass(60_000);
  assert.equal(sockets.length, 2);
});

test('a stream says by an event that its session is over', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ frames: [answer({ resume: 'reset' })], now: 5 });
  await settle();
  sources[0].named['signed-out']();
  assert.equal(sources[0].closed, true);
  assert.equal(client.connection.state, 'connecting');
  open('jobs/?limit=1')[0].answer({ code: 'signed_out' }, 401);
  await settle();
  assert.equal(client.connection.reason, 'signed-out');
});

test('the end of the session is told by HTTP, too', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ code: 'not_found' }, 401);
  await settle();
  open('jobs/?limit=1')[0].answer({ code: 'signed_out' }, 401);
  await settle();
  assert.equal(client.connection.reason, 'signed-out');
  await pass(60_000);
  assert.equal(sockets.length, 2);
});

test('a frame that wants to be acknowledged is, and taken', () => {
  client.watch(JOB).catch(() => {});
  sockets[0].hello().say(snapshot({ ack: 7, seq: seq + 5 }));
  assert.deepEqual(sockets[0].asked('ack'), [{ action: 'ack', ack: 7 }]);
  assert.equal(client.last(JOB).snapshot.seq, seq + 5);
});

test('news of several jobs in one frame', () => {
  client.watch(JOB).catch(() => {});
  client.watch(frames('server', 'updates')[0].updates[1].job).catch(() => {});
  sockets[0].hello().say(...frames('server', 'updates'));
  for (const { job, progress } of frames('server', 'updates')[0].updates) assert.equal(client.last(job).snapshot.progress, progress);
});

test('a stream that brings nothing in time gives way to polling', async () => {
  await toPoll();
  assert.equal(sources.length, 1);
  assert.equal(sources[0].closed, true);
  // Asked again after the reconnect, with the cursor.
  assert.deepEqual(open().map(({ path }) => path), [`updates?job=${JOB}:${seq}`]);
  open()[0].answer({ frames: [], now: 6 });
  await settle();
  assert.deepEqual(open().map(({ path }) => path), [`updates?job=${JOB}:${seq}&wait=10`]);
  open()[0].answer({ frames: [snapshot({ type: 'snapshot', seq: seq + 1, progress: 50, resume: 'recovered', journal: [] })], now: 7 });
  await settle();
  assert.equal(client.last(JOB).snapshot.progress, 50);
  await pass(1000);
  assert.deepEqual(open().map(({ path }) => path), [`updates?job=${JOB}:${seq + 1}&wait=10`]);
});

test('a poll without news proves that there is none', async () => {
  await toPoll();
  open()[0].answer({ frames: [], now: 6 });
  await settle();
  for (let i = 0; i < 5; i += 1) {
    await pass(10_000);
    const [poll, ...more] = open();
    assert.match(poll.path, /wait=10$/);
    assert.deepEqual(more, [], 'silence needs no questions of its own');
    poll.answer({ frames: [], now: 7 + i });
    await settle();
    assert.equal(client.last(JOB).since - client.last(JOB).told, 0);
    await pass(1000);
  }
  assert.equal(states.at(-1), 'open');
});

test('a poll that ends with the last job is the last', async () => {
  await toPoll();
  open()[0].answer({ frames: [answer({ seq: seq + 9, state: 'succeeded', progress: 100, complete: true })], now: 6 });
  await settle();
  await pass(5000);
  assert.deepEqual(open().map(({ path }) => path), []);
  assert.equal(client.last(JOB).snapshot.state, 'succeeded');
});

test('a stream that keeps back what there is gives way, too', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ frames: [answer()], now: 5 });
  await settle();
  sources[0].say(answer());
  for (let i = 1; i < 3; i += 1) {
    await pass(13_000);
    assert.equal(open('updates').length, 1);
    open('updates')[0].answer({ frames: [answer({ seq: seq + i })], now: 6 });
    await settle();
  }
  assert.equal(sources[0].closed, true);
  await pass(1000);
  await prove();
  await pass(100);
  open('updates')[0].answer({ frames: [], now: 7 });
  await settle();
  assert.match(open('updates')[0].path, /wait=10$/);
  assert.equal(sources.length, 1);
});

test('a stream that the server ends is opened again with new cursors, and nobody is told', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ frames: [answer()], now: 5 });
  await settle();
  sources[0].say(answer(), snapshot({ seq: seq + 3 }));
  const before = states.length;
  sources[0].die();
  await pass(2000);
  assert.equal(sources.length, 2);
  assert.equal(sources[1].url, `http://test/prog/updates?job=${JOB}:${seq + 3}`);
  assert.equal(states.length, before);
});

test('what is watched together is asked for together, and the stream opened once', async () => {
  await toStream();
  const watched = [JOB, OTHER].map((job) => client.watch(job));
  client.list().catch(() => {});
  await pass(100);
  assert.deepEqual(open().map(({ path }) => path), [`updates?list=1&job=${JOB}&job=${OTHER}`]);
  const gone = { type: 'error', code: 'not_found', message: 'No such job.', job: OTHER };
  open()[0].answer({ frames: [{ type: 'jobs', jobs: [snapshot()], now: 5 }, answer(), gone], now: 5 });
  assert.equal((await watched[0]).job, JOB);
  await assert.rejects(watched[1], { code: 'not_found', message: 'No such job.' });
  await settle();
  assert.deepEqual(sources.map(({ url }) => url), [`http://test/prog/updates?list=1&job=${JOB}:${seq}`]);
  // The stream begins with all of mine: as good as an update of each.
  sources[0].say({ type: 'jobs', jobs: [snapshot({ job: OTHER, seq: 9 })], now: 6 });
  assert.equal(client.last(OTHER).snapshot.seq, 9);
});

test('an id that is none spoils nothing', async () => {
  await toStream();
  const wrong = client.watch('1&list=1');
  const right = client.watch(JOB);
  await assert.rejects(wrong, { code: 'invalid' });
  await pass(100);
  open('updates')[0].answer({ frames: [answer()], now: 5 });
  assert.equal((await right).job, JOB);
});

test('a start is a POST with the token and the key, and its job is followed', async (context) => {
  globalThis.document = { cookie: 'a=b; csrftoken=t0ken; c=d', querySelector: () => null };
  context.after(() => delete globalThis.document);
  await toStream();
  const started = client.start({ service: 'synth', params: { length: 20 }, key: 'c0ffee' });
  await settle();
  const [post] = open();
  assert.deepEqual([post.method, post.path], ['POST', 'jobs/']);
  assert.equal(post.headers['X-CSRFToken'], 't0ken');
  assert.deepEqual(post.body, { service: 'synth', params: { length: 20 }, key: 'c0ffee' });
  post.answer(snapshot({ type: 'accepted', resume: 'reset', journal: [] }), 202);
  assert.equal((await started).job, JOB);
  await pass(100);
  assert.equal(sources.at(-1).url, `http://test/prog/updates?job=${JOB}:${seq}`);
});

test('what the server refuses rejects with its code; a retry and a cancel are POSTs', async () => {
  await toStream();
  const asked = [client.start(), client.cancel(JOB), client.retry(JOB)];
  await settle();
  const [start, cancel, retry] = open();
  assert.deepEqual([cancel.path, retry.path], [`jobs/${JOB}/cancel`, `jobs/${JOB}/retry`]);
  start.answer({ code: 'too_many', detail: 'Later.', status: 429 }, 429, { 'Retry-After': '2' });
  cancel.answer('<h1>Forbidden</h1>', 403, { 'Content-Type': 'text/html' });
  retry.answer({ code: 'unavailable', detail: 'Later.', status: 503 }, 503);
  await assert.rejects(asked[0], { code: 'too_many', message: 'Later.' });
  await assert.rejects(asked[1], { code: 'bad_answer' });
  await assert.rejects(asked[2], { code: 'unavailable' });
  assert.equal(client.connection.state, 'open');
});

test('a start whose answer was lost is sent again with the same key', async () => {
  await toStream();
  const started = client.start();
  await settle();
  const [first] = open();
  first.fail();
  await settle();
  assert.equal(client.connection.state, 'closed');
  await pass(1000);
  await prove();
  const [second] = open();
  assert.deepEqual(second.body, first.body);
  second.answer(snapshot({ type: 'accepted' }), 202);
  assert.equal((await started).job, JOB);
});

test('the server may say how long to stay away', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ code: 'unavailable', detail: 'Later.' }, 503, { 'Retry-After': '42' });
  await settle();
  assert.equal(client.connection.again - Date.now(), 42_000);
});

test('a proxy that gives a page for an answer is a server that does not answer', async () => {
  await toStream();
  const started = client.start();
  await settle();
  open()[0].answer('<h1>Bad gateway</h1>', 502, { 'Content-Type': 'text/html' });
  await settle();
  assert.equal(client.connection.state, 'closed');
  await pass(2000);
  await prove();
  open('jobs/')[0].answer(snapshot({ type: 'accepted' }), 202);
  assert.equal((await started).job, JOB);
});

test('websockets are tried again while the stream goes on, and taken once they say hello', async () => {
  await toStream();
  client.watch(JOB).catch(() => {});
  await pass(100);
  open('updates')[0].answer({ frames: [answer()], now: 5 });
  await settle();
  sources[0].say(answer());
  const before = states.length;
  for (let i = 0; i < 90 && sockets.length < 3; i += 1) {
    await pass(1000);
    sources[0].say(snapshot({ seq: seq + i + 1 }));
  }
  assert.equal(sockets.length, 3);
  assert.equal(client.connection.state, 'open');
  assert.equal(sources[0].closed, false);
  const { seq: held } = client.last(JOB).snapshot;
  sockets[2].hello();
  assert.equal(sources[0].closed, true);
  assert.deepEqual(sockets[2].asked('watch').map(({ after }) => after), [held]);
  assert.deepEqual(states.slice(before), ['open']);
});

test('a better way that does not work yet disturbs nobody, and is tried ever more seldom', async () => {
  await toPoll();
  const before = states.length;
  const tried = [];
  for (let second = 0; second < 1800; second += 1) {
    await pass(1000, 1000);
    for (const poll of open('updates')) poll.answer({ frames: [], now: 6 });
    for (const proof of open('jobs/')) {
      tried.push('stream');
      proof.fail();
    }
    if (sockets.at(-1).closed) continue;
    tried.push('socket');
    sockets.at(-1).die();
  }
  assert.deepEqual(states.slice(before), []);
  assert.deepEqual(tried, ['socket', 'stream', 'socket', 'stream']);
});

test('when the network is back, a better way is tried at once', async (context) => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible', querySelector: () => null });
  for (const name of ['addEventListener', 'removeEventListener']) globalThis[name] = page[name].bind(page);
  globalThis.document = page;
  context.after(() => {
    for (const name of ['addEventListener', 'removeEventListener', 'document']) delete globalThis[name];
  });
  client.close();
  client = new ProgRock('http://test/prog/', {
    WebSocket: FakeSocket, EventSource: FakeSource, fetch: fakeFetch, random: () => 0.5, now: Date.now,
  });
  await toStream();
  page.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, 3);
});

test('a key may be in any script', async () => {
  await toStream();
  const started = client.start({ key: 'Klavier № 9 — 時計' });
  await settle();
  const [post] = open();
  assert.equal(new Headers(post.headers).get('Content-Type'), 'application/json');
  assert.equal(post.body.key, 'Klavier № 9 — 時計');
  post.answer(snapshot({ type: 'accepted', resume: 'reset', journal: [] }), 202);
  assert.equal((await started).job, JOB);
});

test('more jobs than one request may name are asked for by several', async () => {
  await toStream();
  const watched = Array.from({ length: 250 }, (_, i) => client.watch(`job-${i}`));
  for (let i = 0; i < 40; i += 1) {
    await pass(100);
    for (const { path, answer: give } of open('updates')) {
      const jobs = [...path.matchAll(/job=([^&:]+)/g)].map(([, job]) => job);
      assert.ok(jobs.length <= 100, `${jobs.length}`);
      give({ frames: jobs.map((job) => answer({ job, resume: 'reset' })), now: 5 });
    }
    await settle();
  }
  assert.deepEqual((await Promise.all(watched)).map(({ job }) => job), watched.map((_, i) => `job-${i}`));
  assert.equal(sources.at(-1).url.match(/job=/g).length, 100);
});
