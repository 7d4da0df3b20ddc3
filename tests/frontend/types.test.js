// The declarations that are shipped are those of the code, and somebody else's TypeScript can use them.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import ts from 'typescript';

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

test('the declarations are those of the code', () => {
  const config = ts.getParsedCommandLineOfConfigFile(path('tsconfig.types.json'), {}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic: assert.fail });
  const made = new Map();
  const { diagnostics } = ts
    .createProgram(config.fileNames, config.options)
    .emit(undefined, (name, text) => made.set(name.split('/').at(-1), text));
  assert.deepEqual(diagnostics, []);
  const folder = path('frontend/static/progrock/types');
  const shipped = new Map(readdirSync(folder).map((name) => [name, readFileSync(`${folder}/${name}`, 'utf8')]));
  assert.ok(made.has('progrock.d.ts'));
  const stale = [...new Set([...made.keys(), ...shipped.keys()])].filter((name) => made.get(name) !== shipped.get(name));
  assert.deepEqual(stale, [], 'renew them: npm run types');
});

test("somebody else's TypeScript has the right types, and is told of wrong ones", () => {
  const options = { strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, moduleResolution: ts.ModuleResolutionKind.Bundler, types: [] };
  const wrong = ts
    .getPreEmitDiagnostics(ts.createProgram([path('tests/frontend/usage.ts')], options))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  assert.deepEqual(wrong, []);
});
