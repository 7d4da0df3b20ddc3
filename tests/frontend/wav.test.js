// WAV files are read, and what is none is refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { outline } from '../../frontend/static/rock/wav.js';

/** A WAV of the given samples; `size` is what its data chunk claims. */
function wav({ samples, form = 1, channels = 1, bits = 16, rate = 100, size, before = 0 }) {
  const bytes = samples.length * (bits / 8);
  const view = new DataView(new ArrayBuffer(44 + before + bytes));
  const write = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, 'RIFF');
  write(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, form, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, rate, true);
  view.setUint16(34, bits, true);
  if (before) {
    write(36, 'LIST');
    view.setUint32(40, before - 8, true);
  }
  write(36 + before, 'data');
  view.setUint32(40 + before, size ?? bytes, true);
  samples.forEach((sample, i) => {
    const at = 44 + before + i * (bits / 8);
    if (form === 3) view.setFloat32(at, sample, true);
    else if (bits === 8) view.setUint8(at, 128 + sample * 127);
    else view.setInt16(at, sample * 32_767, true);
  });
  return view.buffer;
}

const samples = [...Array(50).fill(0.25), ...Array(50).fill(-0.5)];

test('loudness by piece, the loudest at 1', () => {
  for (const [form, bits] of [[1, 8], [1, 16], [3, 32]]) {
    const { duration, peaks } = outline(wav({ samples, form, bits }), 2);
    assert.equal(duration, 1);
    assert.ok(Math.abs(peaks[0] - 0.5) < 0.02, `${form} ${bits}: ${peaks[0]}`);
    assert.equal(peaks[1], 1);
  }
});

test('two channels are half as long', () => {
  assert.equal(outline(wav({ samples, channels: 2 }), 4).duration, 0.5);
});

test('other chunks are passed over, and a size that is not known is the rest', () => {
  assert.equal(outline(wav({ samples, before: 12 }), 2).duration, 1);
  assert.equal(outline(wav({ samples, size: 0 }), 2).duration, 1);
  assert.equal(outline(wav({ samples, size: 0xffffffff }), 2).duration, 1);
});

test('silence is flat', () => {
  assert.deepEqual([...outline(wav({ samples: Array(10).fill(0) }), 2).peaks], [0, 0]);
});

test('no WAV is no outline', () => {
  assert.equal(outline(new ArrayBuffer(0), 2), null);
  assert.equal(outline(new TextEncoder().encode('<html>'.repeat(20)).buffer, 2), null);
  assert.equal(outline(wav({ samples, form: 85 }), 2), null);
  assert.equal(outline(wav({ samples }).slice(0, 40), 2), null);
});
