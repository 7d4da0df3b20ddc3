// The client against a server that is lost, late, silent, hostile or back again.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/client.js';
import { FakeSocket, forget, settle, sockets } from './fakes.js';
import { examples, frames, snapshot } from './fixtures.js';

const JOB = snapshot().job;
const QUIET = frames('server', 'hello')[0].quiet;

let client;

const socket = () => sockets.at(-1);
/** A client for which there is nothing but websockets. */
const connect = (options) =>
  new ProgRock('ws://test/prog/', { WebSocket: FakeSocket, fetch: async () => Response.error(), random: () => 0.5, now: Date.now, ...options });
const pass = (ms) => mock.timers.tick(ms);
const accept = (changes) => snapshot({ type: 'accepted', ...changes });

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  client = connect();
});

afterEach(() => {
  client.close();
  mock.timers.reset();
  mock.restoreAll();
});

test('nothing is sent before hello', async () => {
  const states = [];
  client.addEventListener('state', ({ detail }) => states.push(detail.state));
  client.start().catch(() => {});
  await settle();
  assert.equal(socket().url, 'ws://test/prog/');
  assert.deepEqual(socket().sent, []);
  socket().hello();
  assert.equal(socket().asked('start').length, 1);
  assert.deepEqual(states, ['connecting', 'open']);
});

test('start sends what was wished, and resolves with the accepted snapshot', async () => {
  const [example] = frames('client', 'start');
  const { service, params, key } = example;
  const started = client.start({ service, params, key });
  socket().hello();
  const [sent] = socket().sent;
  assert.deepEqual({ ...sent, ref: example.ref }, example);
  socket().say(accept({ ref: sent.ref }));
  assert.equal((await started).job, JOB);
});

test('the other frames are as on the protocol page', () => {
  for (const [action, ...from] of [['watch', JOB], ['cancel', JOB], ['retry', JOB], ['list']]) {
    client[action](...from).catch(() => {});
    if (!socket().sent.length && action === 'watch') socket().hello();
    const [{ after, ...example }] = frames('client', action);
    assert.deepEqual({ ...socket().asked(action)[0], ref: example.ref }, example);
  }
});

test('a start not yet answered is sent again with the same key after the reconnect', async () => {
  const started = client.start({ params: { length: 20 } });
  const first = socket().hello();
  first.die();
  pass(15_000);
  const second = socket().hello();
  assert.notEqual(first, second);
  assert.equal(first.asked('start').length, 1);
  assert.deepEqual(second.asked('start'), first.asked('start'));
  assert.ok(second.asked('start')[0].key);
  second.say(accept({ ref: second.asked('start')[0].ref }));
  assert.equal((await started).job, JOB);
});

test('an error rejects with its code, and the socket stays', async () => {
  const [example] = frames('server', 'error');
  const started = client.start({ service: 'sinth' });
  socket().hello().say({ ...example, ref: 'no question of mine' });
  socket().say({ ...example, ref: socket().sent[0].ref });
  await assert.rejects(started, { code: example.code, message: example.message });
  assert.equal(client.connection.state, 'open');
});

test('updates that are not newer are dropped, an answer replaces, complete is final', async () => {
  const seen = [];
  client.addEventListener('snapshot', ({ detail }) => seen.push([detail.seq, detail.state]));
  client.watch(JOB);
  socket().hello();
  const { ref } = socket().asked('watch')[0];
  socket().say(snapshot({ seq: 5 }), snapshot({ seq: 5 }), snapshot({ seq: 4 }), snapshot({ seq: 6 }));
  socket().say(snapshot({ type: 'snapshot', seq: 2, ref }), snapshot({ seq: 3 }));
  socket().say(snapshot({ seq: 4, state: 'succeeded', progress: 100 }), snapshot({ seq: 9 }));
  assert.deepEqual(seen, [[5, 'running'], [6, 'running'], [2, 'running'], [3, 'running'], [4, 'succeeded']]);
  assert.equal(client.last(JOB).snapshot.state, 'succeeded');
});

test('what nobody asked for is an update, whatever it calls itself', () => {
  client.watch(JOB);
  socket().hello().say(snapshot({ seq: 5 }), snapshot({ type: 'snapshot', seq: 2, ref: 'r99' }), accept({ seq: 1 }));
  assert.equal(client.last(JOB).snapshot.seq, 5);
});

test('hostile and broken frames are ignored', async () => {
  const jobs = client.list();
  socket().hello();
  const { ref } = socket().asked('list')[0];
  const hostile = [
    '', 'null', '7', '[]', '{', '"x"', '{"type":7}', '{"type":"__proto__"}', '{"type":"update"}', '{"type":"jobs","jobs":7}',
    '{"type":"error"}', '{"type":"accepted","ref":{}}', '{"type":"hello","quiet":"soon"}', '{"type":"hello","quiet":-1}',
    '['.repeat(50_000), JSON.stringify(snapshot({ seq: 'new' })), `{"type":"error","ref":["${ref}"],"code":5}`,
    `{"type":"accepted","ref":"${ref}"}`, `{"type":"pong","ref":"${ref}"}`,
  ];
  for (const text of hostile) socket().say(text);
  socket().onmessage({ data: new ArrayBuffer(8) });
  assert.equal(client.connection.state, 'open');
  socket().say({ type: 'jobs', ref, jobs: [null, 7, {}, snapshot({ type: undefined })] });
  assert.deepEqual((await jobs).map(({ job }) => job), [JOB]);
});

test('an answer that makes no sense rejects', async () => {
  const watched = client.watch(JOB);
  socket().hello();
  socket().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref, job: 'somebody else' }));
  await assert.rejects(watched, { code: 'bad_answer' });
});

test('silence is not trusted: an unfinished job is asked for again', async () => {
  client.watch(JOB);
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref }));
  pass(QUIET - 1000);
  assert.equal(socket().asked('watch').length, 1);
  pass(1000);
  assert.equal(socket().asked('watch').length, 2);
});

test('an update starts the silence anew, and a finished job is left alone', async () => {
  client.watch(JOB);
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref }));
  pass(QUIET - 1000);
  socket().say(snapshot({ seq: snapshot().seq + 1 }));
  pass(QUIET - 1000);
  assert.equal(socket().asked('watch').length, 1);
  socket().say(snapshot({ seq: snapshot().seq + 2, state: 'failed' }));
  pass(QUIET * 1.5);
  assert.equal(socket().asked('watch').length, 1);
});

test('the wait for a silent job is jittered by a fifth', () => {
  for (const [random, seconds] of [[0, 10], [0.999, 15]]) {
    const other = connect({ random: () => random });
    other.watch(JOB).catch(() => {});
    socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref }));
    pass((seconds - 1) * 1000);
    assert.equal(socket().asked('watch').length, 1);
    pass(1000);
    assert.equal(socket().asked('watch').length, 2);
    other.close();
  }
});

test('the same snapshot, asked for again, is no younger', () => {
  client.watch(JOB);
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().asked('watch')[0].ref }));
  pass(QUIET);
  socket().say(snapshot({ type: 'snapshot', ref: socket().asked('watch')[1].ref }));
  assert.equal(client.last(JOB).since, QUIET);
});

test('it is known until when the server had nothing newer', () => {
  client.watch(JOB);
  const { at } = snapshot();
  socket().hello().say(snapshot({ type: 'snapshot', now: at + 700, ref: socket().asked('watch')[0].ref }));
  assert.deepEqual([client.last(JOB).since, client.last(JOB).told], [700, 700]);
  pass(QUIET);
  assert.deepEqual([client.last(JOB).since, client.last(JOB).told], [QUIET + 700, 700]);
  socket().say(snapshot({ type: 'snapshot', ref: socket().asked('watch')[1].ref }));
  pass(1000);
  assert.deepEqual([client.last(JOB).since, client.last(JOB).told], [QUIET + 1700, QUIET + 700]);
});

test('a retry resolves with the new job, which is followed', async () => {
  const again = '00000000-0000-4000-8000-000000000000';
  const retried = client.retry(JOB);
  socket().hello();
  const { ref } = socket().asked('retry')[0];
  socket().say(accept({ ref, job: again, retry_of: JOB, attempt: 2 }));
  const { job, attempt, retry_of } = await retried;
  assert.deepEqual([job, attempt, retry_of], [again, 2, JOB]);
  pass(QUIET);
  assert.deepEqual(socket().asked('watch').map((frame) => frame.job), [again]);
});

test('a retry not yet answered is sent again after the reconnect', async () => {
  const retried = client.retry(JOB);
  const first = socket().hello();
  first.die();
  pass(15_000);
  assert.deepEqual(socket().hello().asked('retry'), first.asked('retry'));
  socket().say(accept({ ref: first.asked('retry')[0].ref, job: 'again', retry_of: JOB }));
  assert.equal((await retried).job, 'again');
});

test('a retry of another job than that asked for makes no sense', async () => {
  const retried = client.retry(JOB);
  socket().hello();
  socket().say(accept({ ref: socket().sent[0].ref, job: JOB, retry_of: null }));
  await assert.rejects(retried, { code: 'bad_answer' });
});

test('a question without an answer is a dead socket', () => {
  client.watch(JOB);
  const first = socket().hello();
  pass(QUIET + 1000);
  assert.equal(first.closed, true);
  assert.equal(client.connection.state, 'closed');
  pass(15_000);
  assert.equal(socket().hello().asked('watch').length, 1);
});

test('a server that never says hello is given up', () => {
  client.connect();
  const first = socket();
  pass(10_000);
  assert.equal(first.closed, true);
  assert.equal(client.connection.state, 'closed');
  assert.equal(client.connection.again - Date.now(), 250);
});

test('an idle socket is pinged, and dropped when it does not answer', () => {
  client.connect();
  const first = socket().hello();
  pass(2 * QUIET + 1000);
  assert.equal(first.asked('ping').length, 1);
  first.say({ ...frames('server', 'pong')[0], ref: first.asked('ping')[0].ref });
  pass(2 * QUIET + 1000);
  assert.equal(first.asked('ping').length, 2);
  assert.equal(client.connection.state, 'open');
  pass(QUIET + 1000);
  assert.equal(client.connection.state, 'closed');
});

test('after a reconnect everything unfinished is asked for, and only that', async () => {
  const other = '00000000-0000-4000-8000-000000000000';
  client.watch(JOB);
  client.watch(other);
  const first = socket().hello();
  for (const { job, ref } of first.asked('watch')) first.say(snapshot({ type: 'snapshot', job, ref }));
  first.say(snapshot({ job: other, seq: snapshot().seq + 1, state: 'succeeded', progress: 100 }));
  first.die();
  pass(15_000);
  assert.deepEqual(socket().hello().sent.map(({ action, job }) => [action, job]), [['watch', JOB]]);
});

test('after a reconnect the list is asked for first, then what was not in it', async () => {
  const other = '00000000-0000-4000-8000-000000000000';
  client.list();
  const first = socket().hello();
  first.say({ type: 'jobs', jobs: [snapshot(), snapshot({ job: other })], ref: first.sent[0].ref });
  await settle();
  assert.deepEqual(first.sent.map(({ action }) => action), ['list']);
  first.die();
  pass(15_000);
  const second = socket().hello();
  assert.deepEqual(second.sent.map(({ action }) => action), ['list']);
  second.say({ type: 'jobs', jobs: [snapshot()], ref: second.sent[0].ref });
  assert.deepEqual(second.sent.map(({ action, job }) => [action, job]), [['list', undefined], ['watch', other]]);
});

test('a job that is listed needs no watch of its own', async () => {
  client.list();
  socket().hello().say({ type: 'jobs', jobs: [snapshot()], ref: socket().sent[0].ref });
  assert.equal((await client.watch(JOB)).job, JOB);
  assert.equal(socket().asked('watch').length, 0);
});

test('a job whose result a list has cut is asked for when it is watched', async () => {
  client.list();
  socket().hello().say({ type: 'jobs', jobs: [snapshot({ state: 'succeeded', cut: true })], ref: socket().sent[0].ref });
  await settle();
  const watched = client.watch(JOB);
  const { ref } = socket().asked('watch')[0];
  socket().say(snapshot({ type: 'snapshot', state: 'succeeded', result: { pages: 7 }, ref }));
  assert.deepEqual((await watched).result, { pages: 7 });
  assert.deepEqual(client.last(JOB).snapshot.result, { pages: 7 });
});

test('a job the server does not know is not asked for for ever', async () => {
  const refused = [];
  client.addEventListener('refused', ({ detail }) => refused.push(detail.code));
  const watched = client.watch(JOB);
  socket().hello().say({ type: 'error', code: 'not_found', message: 'no', ref: socket().sent[0].ref });
  await assert.rejects(watched, { code: 'not_found' });
  pass(QUIET * 1.5);
  assert.equal(socket().asked('watch').length, 1);
  assert.deepEqual(refused, ['not_found']);
});

test('what is taken back in mid-stream is told once, and not asked for again', () => {
  const refused = [];
  client.addEventListener('refused', ({ detail }) => refused.push([detail.code, detail.job, detail.channel]));
  client.watch(JOB);
  client.subscribe(JOB).catch(() => {});
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().asked('watch')[0].ref }));
  socket().say({ type: 'error', code: 'not_found', message: 'not any more', job: JOB });
  socket().say({ type: 'error', code: 'not_found', message: 'not any more', job: JOB });
  socket().say({ type: 'error', code: 'not_found', message: 'not any more', channel: JOB });
  socket().say({ type: 'error', code: 'not_found', message: 'not ours', job: 'another' });
  assert.deepEqual(refused, [['not_found', JOB, undefined], ['not_found', undefined, JOB]]);
  pass(QUIET * 1.5);
  assert.equal(socket().asked('watch').length, 1);
});

test('two watch and one leaves: the other still hears', () => {
  client.watch(JOB);
  client.watch(JOB);
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref }));
  client.unwatch(JOB);
  assert.equal(socket().asked('unwatch').length, 0);
  client.unwatch(JOB);
  assert.deepEqual(socket().asked('unwatch'), frames('client', 'unwatch'));
  assert.equal(client.last(JOB), null);
  // An update that was on its way does not bring the job back.
  socket().say(snapshot({ seq: snapshot().seq + 1 }));
  pass(QUIET * 1.5);
  assert.equal(socket().asked('watch').length, 1);
});

test('waits grow while it fails, whatever way is tried, and start over once a connection has held', async () => {
  client.connect();
  const waits = [];
  client.addEventListener('state', ({ detail }) => {
    if (detail.state === 'closed') waits.push(detail.again - Date.now());
  });
  for (let i = 0; i < 8; i += 1) {
    if (client.connection.state === 'connecting') socket().die();
    pass(7500);
    await settle();
  }
  assert.deepEqual(waits.slice(0, 7), [250, 500, 1000, 2000, 4000, 7500, 7500]);
  for (let i = 0; i < 4 && client.connection.state !== 'open'; i += 1) {
    socket().hello();
    pass(7500);
    await settle();
  }
  pass(10_000);
  socket().die();
  assert.equal(waits.at(-1), 250);
});

test('it does not wait when the network or the person is back', (context) => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'hidden', querySelector: () => null });
  for (const name of ['addEventListener', 'removeEventListener']) globalThis[name] = page[name].bind(page);
  globalThis.document = page;
  context.after(() => {
    for (const name of ['addEventListener', 'removeEventListener', 'document']) delete globalThis[name];
  });
  const other = connect();
  context.after(() => other.close());
  page.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, 0, 'nobody has wanted a connection yet');
  other.connect();
  socket().die();
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets.length, 1, 'hidden is not back');
  page.visibilityState = 'visible';
  page.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets.length, 2);
  socket().hello().die();
  page.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, 3);
  socket().hello();
  page.dispatchEvent(new Event('online'));
  assert.equal(socket().asked('ping').length, 1, 'a socket that slept is not trusted');
  other.close();
  page.dispatchEvent(new Event('online'));
  assert.equal(sockets.length, 3);
});

test('told to stay away, it waits long at once', () => {
  client.connect();
  for (const code of [4008, 1008, 1013, 4013, 4429]) {
    socket().hello().die(code);
    assert.equal(client.connection.again - Date.now(), 7500);
    pass(7500);
  }
});

test('many questions go out below the pace the server calls abuse', () => {
  for (let i = 0; i < 300; i += 1) client.watch(`job ${i}`).catch(() => {});
  socket().hello();
  assert.equal(socket().sent.length, 80);
  pass(1000);
  assert.equal(socket().sent.length, 160);
  pass(1000);
  pass(1000);
  assert.equal(socket().sent.length, 300);
});

test('too many sockets is no reason to take another way, though it is said before hello', () => {
  client.connect();
  for (let i = 0; i < 3; i += 1) {
    socket().die(4429);
    assert.equal(client.connection.again - Date.now(), 7500);
    pass(7500);
  }
  assert.equal(sockets.length, 4);
});

test('a thousand questions to a server that answers are not a dead socket', () => {
  for (let i = 0; i < 1500; i += 1) client.watch(`job ${i}`).catch(() => {});
  socket().hello();
  let answered = 0;
  for (let i = 0; i < 25; i += 1) {
    for (const { job, ref } of socket().sent.slice(answered)) {
      socket().say(job ? snapshot({ type: 'snapshot', job, ref, resume: 'reset', journal: [] }) : { type: 'pong', ref });
      answered += 1;
    }
    pass(1000);
  }
  assert.equal(sockets.length, 1);
  assert.ok(client.last('job 1499'));
});

test('updates that are all older than what is held are a reason to ask', () => {
  client.watch(JOB);
  const { seq } = snapshot();
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref, resume: 'reset', journal: [] }));
  // The server has lost its memory, and its clock was put back.
  for (let i = 0; i < 20; i += 1) {
    pass(1000);
    socket().say(snapshot({ seq: seq - 1000 + i, progress: 7 }));
    for (const { ref } of socket().asked('watch').slice(1)) {
      socket().say(snapshot({ type: 'snapshot', seq: seq - 1000 + i, progress: 7, ref, resume: 'reset', journal: [] }));
    }
  }
  assert.equal(client.last(JOB).snapshot.progress, 7);
});

test('of the jobs of a list that are over, only so many are remembered', () => {
  client.list().catch(() => {});
  client.watch('mine').catch(() => {});
  socket().hello().say(snapshot({ job: 'mine', state: 'failed' }));
  for (let i = 0; i < 2000; i += 1) socket().say(snapshot({ job: `job ${i}`, state: 'failed' }));
  const held = Array.from({ length: 2000 }, (_, i) => client.last(`job ${i}`)).filter(Boolean);
  assert.ok(held.length < 600, `${held.length}`);
  assert.ok(client.last('job 1999'));
  assert.ok(client.last('mine'));
});

test('a list does not keep the lines of a job coming that nobody watches any more', () => {
  client.list().catch(() => {});
  client.watch(JOB).catch(() => {});
  const line = { n: 1, seq: 1, at: 1, level: 'info', text: 'x', data: null };
  socket().hello().say(snapshot({ type: 'snapshot', lines: 1, journal: [line], resume: 'reset', ref: socket().asked('watch')[0].ref }));
  assert.equal(client.lines(JOB).length, 1);
  client.unwatch(JOB);
  assert.equal(socket().asked('unwatch').length, 1);
  assert.deepEqual(client.lines(JOB), []);
  assert.ok(client.last(JOB), 'the list still tells of it');
});

test('a list that was refused for now is asked for again', async () => {
  const listed = client.list();
  socket().hello().say({ type: 'error', code: 'unavailable', message: 'later', ref: socket().asked('list')[0].ref });
  await assert.rejects(listed, { code: 'unavailable' });
  pass(2000);
  assert.equal(socket().asked('list').length, 1, 'not at once');
  pass(QUIET * 1.2);
  assert.equal(socket().asked('list').length, 2);
  socket().say({ type: 'jobs', jobs: [snapshot()], ref: socket().asked('list')[1].ref });
  assert.ok(client.last(JOB));
  pass(QUIET * 3);
  assert.equal(socket().asked('list').length, 2);
});

test('more jobs than may be watched are those of a list', async () => {
  const refused = [];
  client.addEventListener('refused', ({ detail }) => refused.push(detail));
  for (const job of ['a', 'b', 'c']) client.watch(job).catch(() => {});
  socket().hello();
  const [first, ...more] = socket().asked('watch');
  socket().say(snapshot({ type: 'snapshot', job: 'a', ref: first.ref, resume: 'reset', journal: [] }));
  for (const { ref } of more) socket().say({ type: 'error', code: 'too_many', message: 'At most one.', ref });
  await settle();
  const lists = socket().asked('list');
  assert.equal(lists.length, 1);
  socket().say({ type: 'jobs', jobs: ['a', 'b'].map((job) => snapshot({ job })), ref: lists[0].ref });
  assert.deepEqual(socket().asked('watch').slice(3).map(({ job }) => job), ['c']);
  assert.ok(client.last('b'));
  assert.deepEqual(refused, []);
});

test('a line that is missing is asked for, however many updates come', () => {
  client.watch(JOB);
  const { seq } = snapshot();
  socket().hello().say(snapshot({ type: 'snapshot', ref: socket().sent[0].ref, resume: 'reset', journal: [] }));
  for (let i = 1; i < 20; i += 1) {
    socket().say(snapshot({ seq: seq + i, lines: 1 }));
    pass(200);
  }
  assert.deepEqual(socket().asked('watch').slice(1).map(({ after }) => after), [seq]);
});

test('a closed client says so', async () => {
  const started = client.start();
  client.close();
  await assert.rejects(started, { code: 'closed' });
  await assert.rejects(client.start(), { code: 'closed' });
  pass(60_000);
  assert.equal(sockets.length, 1);
});

test('the file of a job is below the endpoint', () => {
  assert.equal(client.file(JOB), `http://test/prog/jobs/${JOB}/file`);
  assert.equal(client.file('../../x?'), 'http://test/prog/jobs/..%2F..%2Fx%3F/file');
});

test('every start has a key of its own, also where the page is not a secure context', () => {
  Object.defineProperty(crypto, 'randomUUID', { value: undefined, configurable: true });
  for (let i = 0; i < 50; i += 1) client.start().catch(() => {});
  delete crypto.randomUUID;
  const keys = socket().hello().asked('start').map(({ key }) => key);
  assert.equal(new Set(keys).size, 50);
  for (const key of keys) assert.match(key, /^[0-9]+(-[0-9]+){3}$/);
  assert.ok(keys.every(({ length }) => length <= 64));
});

test('every example of a server frame is taken without a warning', () => {
  client.connect();
  const warn = console.warn.mock;
  for (const { frame } of examples.filter(({ from, name }) => from === 'server' && name !== 'error')) socket().say(frame);
  assert.equal(warn.callCount(), 0);
  assert.ok(examples.length >= 10);
});
