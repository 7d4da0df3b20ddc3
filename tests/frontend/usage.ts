// A page of somebody else's, in TypeScript; never run.
import { ProgRock, ProgRockError } from '../../frontend/static/progrock/types/progrock.js';
import type { Connected, Line, Lines, Snapshot } from '../../frontend/static/progrock/types/progrock.js';

const client: ProgRock = ProgRock.shared('/prog/', { background: true });

export async function run(): Promise<Snapshot['state'] | null> {
  const { job } = await client.start({ service: 'synth', params: { length: 20 }, key: 'mine' });
  client.addEventListener('lines', (event) => {
    const { lines, reset, resume } = (event as CustomEvent<Lines>).detail;
    console.log(lines.map((line: Line) => `${line.n} ${line.text}`), reset, resume === 'recovered');
  });
  await client.subscribe('me');
  const over = new AbortController();
  client.on('me', 'paid', ({ amount }) => console.log(amount), { signal: over.signal });
  client.unsubscribe('me');
  const { state, again }: Connected = client.connection;
  console.log(state === 'open', again);
  let last: Snapshot | null = null;
  try {
    for await (const snapshot of client.follow(job)) last = snapshot;
  } catch (error) {
    if (error instanceof ProgRockError) console.log(error.code.toUpperCase());
  }
  // @ts-expect-error a percentage may be unknown
  last?.percent.toFixed(1);
  // @ts-expect-error a job's id is text
  await client.cancel(7);
  return last?.state ?? null;
}
