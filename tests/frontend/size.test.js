// What a page has to fetch, gzipped file by file, as it is served and without its comments.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';

const folder = fileURLToPath(new URL('../../frontend/static/progrock/', import.meta.url));
const read = (name) => readFileSync(folder + name, 'utf8');
const bare = (text) => ts.transpileModule(text, { compilerOptions: { removeComments: true, target: 'es2022', module: 'es2022' } }).outputText;
const size = (text) => gzipSync(text, { level: 9 }).length;

/** A file and all that it imports. */
function closure(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, other] of bare(read(name)).matchAll(/(?:from|import) '\.\/([\w-]+\.js)'/g)) closure(other, found);
  return found;
}

/** The bytes of all of them together, as one would send them in one stream. */
const together = (names) => {
  const texts = [...names].sort().map(read);
  return { served: size(texts.join('')), bare: size(texts.map(bare).join('')) };
};

test('the client stays small', (context) => {
  const { served, bare } = together(closure('progrock.js'));
  context.diagnostic(`client: ${served} bytes gzipped as served, ${bare} without comments`);
  assert.ok(bare < 12_000, `${bare}`);
});

test('client and elements stay small', (context) => {
  const all = readdirSync(folder).filter((name) => name.endsWith('.js'));
  const { served, bare } = together(all);
  context.diagnostic(`all: ${served} bytes gzipped as served, ${bare} without comments`);
  assert.ok(bare < 20_500, `${bare}`);
});
