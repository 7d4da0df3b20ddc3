// Several tabs with one connection: who has it, who takes over, and that nobody misses anything.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { ProgRock } from '../../frontend/static/progrock/progrock.js';
import { FakeLocks, FakeSocket, fakeFetch, fakeTab, forget, pass, posted, settle, sockets } from './fakes.js';
import { frames, snapshot } from './fixtures.js';

const JOB = snapshot().job;
const OTHER = '00000000-0000-4000-8000-000000000000';
const { seq } = snapshot();
const QUIET = frames('server', 'hello')[0].quiet;

let locks;
let open;

/** Open a tab. */
async function tab(who = 'me', options = {}) {
  const it = fakeTab();
  const chance = (open.length % 7) / 7;
  const client = new ProgRock('http://test/prog/', {
    WebSocket: FakeSocket, fetch: fakeFetch, BroadcastChannel: it.BroadcastChannel,
    locks: it.locks(locks), who, random: () => chance, now: Date.now, ...options,
  });
  open.push(client);
  client.connect();
  await settle();
  return Object.assign(it, { client });
}

const socket = () => sockets.at(-1);
const answer = (question, changes) =>
  snapshot({ type: 'snapshot', ref: question.ref, job: question.job, resume: 'reset', journal: [], ...changes });
/** Answer all watches that have no answer yet. */
const serve = async (changes) => {
  const answered = (socket().answered ??= new Set());
  for (const question of socket().asked('watch')) {
    if (answered.has(question.ref)) continue;
    answered.add(question.ref);
    socket().say(answer(question, changes));
  }
  await settle();
};
const line = (n) => ({ n, seq: n, at: n, level: 'info', text: `line ${n}`, data: null });

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  mock.method(console, 'warn', () => {});
  forget();
  locks = new FakeLocks();
  open = [];
});

afterEach(() => {
  for (const client of open) client.close();
  mock.timers.reset();
  mock.restoreAll();
});

test('three tabs have one socket, and each is told what it asked for', async () => {
  const tabs = [await tab(), await tab(), await tab()];
  assert.equal(sockets.length, 1);
  socket().hello();
  await settle();
  assert.deepEqual(tabs.map(({ client }) => client.connection.state), ['open', 'open', 'open']);
  const watched = [tabs[0].client.watch(JOB), tabs[1].client.watch(OTHER), tabs[2].client.watch(JOB)];
  await settle();
  await serve();
  assert.deepEqual((await Promise.all(watched)).map(({ job }) => job), [JOB, OTHER, JOB]);
  socket().say(snapshot({ seq: seq + 1, progress: 77 }));
  await settle();
  assert.deepEqual(tabs.map(({ client }) => client.last(JOB)?.snapshot.progress), [77, undefined, 77]);
});

test('a start in another tab is one start, answered there', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  const started = second.client.start({ key: 'once' });
  await settle();
  const [asked, ...more] = socket().asked('start');
  assert.equal(more.length, 0);
  assert.ok(asked.ref.length <= 64);
  socket().say(snapshot({ type: 'accepted', ref: asked.ref }));
  await settle();
  assert.equal((await started).job, JOB);
  assert.equal(first.client.last(JOB), null, 'it did not ask');
});

test('a refusal goes to the tab that asked', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  const refused = [first, second].map(({ client }) => client.watch(JOB));
  await settle();
  const [mine, theirs] = socket().asked('watch');
  socket().say({ type: 'error', code: 'not_found', message: 'no', ref: theirs.ref }, answer(mine));
  await settle();
  await assert.rejects(refused[1], { code: 'not_found' });
  assert.equal((await refused[0]).job, JOB);
});

test('a job is unwatched when the last tab leaves it', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  for (const { client } of [first, second]) client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  first.client.unwatch(JOB);
  await settle();
  assert.equal(socket().asked('unwatch').length, 0);
  second.client.unwatch(JOB);
  await settle();
  assert.equal(socket().asked('unwatch').length, 1);
});

test('a tab that closes takes its watches with it', async () => {
  await tab();
  const second = await tab();
  socket().hello();
  await settle();
  second.client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  second.client.close();
  await settle();
  assert.deepEqual(socket().asked('unwatch').map(({ job }) => job), [JOB]);
});

test('who leads closes in the middle of a question: another takes over and asks again, with its cursor', async () => {
  const [first, second, third] = [await tab(), await tab(), await tab()];
  socket().hello();
  await settle();
  for (const { client } of [second, third]) client.watch(JOB).catch(() => {});
  await settle();
  await serve({ lines: 2, journal: [line(1), line(2)] });
  const started = second.client.start({ key: 'once' });
  await settle();
  const lost = socket();
  first.client.close();
  await settle();
  assert.equal(sockets.length, 2);
  assert.equal(lost.closed, true);
  socket().hello();
  await settle();
  const [again] = socket().asked('start');
  assert.equal(again.key, 'once');
  assert.deepEqual(socket().asked('watch').map(({ job, after }) => [job, after]), [[JOB, seq], [JOB, seq]]);
  await serve({ seq: seq + 3, lines: 3, resume: 'recovered', journal: [line(3)] });
  for (const { client } of [second, third]) {
    assert.deepEqual(client.lines(JOB).map(({ n }) => n), [1, 2, 3]);
    assert.equal(client.last(JOB).snapshot.seq, seq + 3);
  }
  socket().say(snapshot({ type: 'accepted', ref: again.ref, job: OTHER }));
  await settle();
  assert.equal((await started).job, OTHER);
});

test('how the connection is, is the same in all tabs', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  socket().die();
  await settle();
  assert.equal(first.client.connection.state, 'closed');
  assert.deepEqual(second.client.connection, first.client.connection);
  await pass(1000);
  socket().hello().die(4401);
  socket().die(4401);
  await settle();
  for (const { client } of [first, second]) assert.deepEqual(client.connection, { state: 'closed', again: null, reason: 'signed-out' });
  await pass(60_000);
  assert.equal(sockets.length, 3);
});

test('a page that is opened after the end of a session has a new one, and brings the others back', async () => {
  const first = await tab();
  first.client.watch(JOB).catch(() => {});
  socket().hello().die(4401);
  socket().die(4401);
  await settle();
  const second = await tab();
  assert.equal(sockets.length, 3);
  socket().hello();
  await settle();
  assert.deepEqual([first, second].map(({ client }) => client.connection.state), ['open', 'open']);
  assert.deepEqual(socket().asked('watch').map(({ job }) => job), [JOB]);
});

test('a frozen tab that leads is noticed and replaced, and does no harm when it wakes', async () => {
  const [first, second, third] = [await tab(), await tab(), await tab()];
  socket().hello();
  await settle();
  for (const { client } of [second, third]) client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  first.frozen = true;
  const frozen = socket();
  // Its socket hears, but it tells nobody. The others ask after the silence.
  await pass(QUIET * 1.2 + 4000);
  assert.equal(sockets.length, 2, 'one of the others leads, not both');
  socket().hello();
  await settle();
  await serve({ seq: seq + 7 });
  for (const { client } of [second, third]) assert.equal(client.last(JOB).snapshot.seq, seq + 7);
  first.thaw();
  await settle();
  assert.equal(frozen.closed, true);
  assert.equal(first.client.connection.state, 'open');
  for (let i = 0; i < 30; i += 1) {
    await pass(1000);
    await serve({ seq: seq + 7 });
  }
  assert.equal(sockets.length, 2);
  first.client.watch(JOB).catch(() => {});
  await settle();
  await serve({ seq: seq + 8 });
  assert.equal(first.client.last(JOB).snapshot.seq, seq + 8);
});

test('two that lead for a while: what comes twice is taken once', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  for (const { client } of [first, second]) client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  const old = socket();
  const seen = [];
  const lines = [];
  second.client.addEventListener('snapshot', ({ detail }) => seen.push(detail.seq));
  second.client.addEventListener('lines', ({ detail }) => lines.push(...detail.lines.map(({ n }) => n)));
  first.frozen = true;
  await pass(QUIET * 1.2 + 4000);
  socket().hello();
  await settle();
  await serve({ seq: seq + 1, lines: 1, journal: [line(1)] });
  const updates = [2, 3].map((n) => snapshot({ seq: seq + n, lines: n, journal: [line(n)] }));
  for (const update of updates) {
    if (!old.closed) old.say(update);
    socket().say(update, update);
    await settle();
  }
  assert.deepEqual(seen, [seq + 1, seq + 2, seq + 3]);
  assert.deepEqual(lines, [1, 2, 3]);
});

test('the end of a job that one tab asks for is news to the others', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  first.client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  second.client.watch(JOB).catch(() => {});
  await settle();
  await serve({ seq: seq + 5, state: 'succeeded', progress: 100 });
  assert.equal(first.client.last(JOB).snapshot.state, 'succeeded');
});

test('what one tab is told without the lines that another lacks is asked for', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  first.client.watch(JOB).catch(() => {});
  await settle();
  await serve({ lines: 0 });
  second.client.watch(JOB).catch(() => {});
  await settle();
  // The server thinks that the socket has line 1 now; the first tab has it by hearing what the second was told.
  await serve({ seq: seq + 1, lines: 1, journal: [line(1)] });
  socket().say(snapshot({ seq: seq + 3, lines: 3, journal: [line(3)] }));
  await settle();
  await pass(2000);
  assert.deepEqual(socket().asked('watch').slice(2).map(({ after }) => after), [seq + 1, seq + 1]);
  await serve({ seq: seq + 3, lines: 3, resume: 'recovered', journal: [line(2), line(3)] });
  for (const { client } of [first, second]) assert.deepEqual(client.lines(JOB).map(({ n }) => n), [1, 2, 3]);
});

test('tabs of different people do not hear of each other', async () => {
  const [mine, hers] = [await tab('me'), await tab('her')];
  assert.equal(sockets.length, 2);
  sockets[0].hello();
  sockets[1].hello();
  await settle();
  for (const { client } of [mine, hers]) client.list().catch(() => {});
  await settle();
  sockets[0].say(snapshot());
  await settle();
  assert.equal(mine.client.last(JOB).snapshot.job, JOB);
  assert.equal(hers.client.last(JOB), null);
});

test('a page that does not say for whom it speaks has a connection of its own, as has one without locks', async () => {
  await tab('');
  await tab('');
  await tab('me', { locks: null });
  assert.equal(sockets.length, 3);
  assert.deepEqual(posted, []);
});

test('nonsense on the channel changes nothing', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  const loud = new (fakeTab().BroadcastChannel)('progrock http://test/prog/ me');
  for (const said of [null, 7, 'x', [], {}, { from: 'x' }, { from: 'x', how: 7 }, { from: 'x', frame: snapshot() }, { from: 'x', ask: {} }]) {
    loud.postMessage(said);
  }
  await settle();
  assert.deepEqual([first, second].map(({ client }) => client.connection.state), ['open', 'open']);
  await pass(5000);
  assert.equal(sockets.length, 1);
  loud.close();
});

test('a hidden tab lets go after a while, and another takes over', async (context) => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'hidden', querySelector: () => null });
  globalThis.document = page;
  context.after(() => delete globalThis.document);
  const first = await tab();
  delete globalThis.document;
  const second = await tab();
  socket().hello();
  await settle();
  second.client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  const before = socket();
  for (let i = 0; i < 400 && sockets.length < 2; i += 1) {
    await pass(1000);
    await serve();
  }
  assert.equal(before.closed, true);
  assert.equal(first.client.connection.reason, 'paused');
  assert.equal(sockets.length, 2);
  socket().hello();
  await settle();
  assert.deepEqual(socket().asked('watch').map(({ job }) => job), [JOB]);
  assert.equal(second.client.connection.state, 'open');
});

test('a tab that has let go asks nobody for anything, and takes nothing over', async () => {
  const [first, second] = [await tab(), await tab()];
  socket().hello();
  await settle();
  second.client.watch(JOB).catch(() => {});
  await settle();
  await serve();
  second.client.close();
  second.client.unwatch(JOB);
  await pass(10_000);
  assert.equal(sockets.length, 1);
  assert.equal(first.client.connection.state, 'open');
});

test('a page that is opened while the others wait tries at once', async () => {
  await tab();
  socket().die(1013);
  await settle();
  await tab();
  assert.equal(sockets.length, 2);
});

test('a page that may not have locks has a connection of its own', async () => {
  let asked = 0;
  const locks = {
    async request() {
      asked += 1;
      if (asked > 100) await new Promise(() => {});
      throw new DOMException('Access to the Locks API is denied in this context.', 'SecurityError');
    },
  };
  const { client } = await tab('me', { locks });
  assert.equal(asked, 1);
  assert.equal(sockets.length, 1);
  socket().hello();
  await settle();
  assert.equal(client.connection.state, 'open');
  client.close();
  assert.equal(socket().closed, true);
});
