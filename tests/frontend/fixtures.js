// The examples of docs/reference/protocol.md, and snapshots made from them.
import { readFileSync } from 'node:fs';

const page = readFileSync(new URL('../../docs/reference/protocol.md', import.meta.url), 'utf8');

/** Every example of the page, as {from, name, frame}. */
export const examples = [...page.matchAll(/^```json (server|client) (\S+)\n([\s\S]*?)^```/gm)].map(
  ([, from, name, text]) => ({ from, name, frame: JSON.parse(text) }),
);

/** The examples of one name, in the order of the page. */
export const frames = (from, name) =>
  examples.filter((example) => example.from === from && example.name === name).map(({ frame }) => frame);

/** The page's running snapshot, with changes. */
export const snapshot = (changes = {}) => ({ ...frames('server', 'update')[0], ...changes });
