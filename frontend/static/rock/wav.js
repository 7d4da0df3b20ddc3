// @ts-check
// Reads a PCM WAV file: how long it is, and how loud it is where.

/** @typedef {{duration: number, peaks: Float32Array}} Outline duration in seconds, peaks from 0 to 1 */

/** @param {DataView} view @param {number} at */
const tag = (view, at) => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));

/**
 * How to read one sample as -1 to 1, or null for a form we do not know.
 *
 * @param {DataView} view
 * @param {number} form 1 for integers, 3 for floats
 * @param {number} bits
 * @returns {((at: number) => number) | null}
 */
function sampler(view, form, bits) {
  if (form === 3 && bits === 32) return (at) => view.getFloat32(at, true);
  if (form !== 1) return null;
  if (bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (bits === 16) return (at) => view.getInt16(at, true) / 32_768;
  if (bits === 24) return (at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8_388_608;
  if (bits === 32) return (at) => view.getInt32(at, true) / 2_147_483_648;
  return null;
}

/**
 * The outline of a WAV file in `count` equal pieces, its loudest at 1; null if this is no WAV we can read.
 *
 * @param {ArrayBuffer} buffer
 * @param {number} count
 * @returns {Outline | null}
 */
export function outline(buffer, count) {
  const view = new DataView(buffer);
  if (view.byteLength < 44 || tag(view, 0) !== 'RIFF' || tag(view, 8) !== 'WAVE') return null;
  let form = 0;
  let channels = 0;
  let rate = 0;
  let bits = 0;
  for (let at = 12; at + 8 <= view.byteLength; ) {
    const name = tag(view, at);
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (name === 'fmt ' && start + 16 <= view.byteLength) {
      form = view.getUint16(start, true);
      channels = view.getUint16(start + 2, true);
      rate = view.getUint32(start + 4, true);
      bits = view.getUint16(start + 14, true);
      // "Extensible" keeps the real form a little further on.
      if (form === 0xfffe && start + 26 <= view.byteLength) form = view.getUint16(start + 24, true);
    } else if (name === 'data') {
      const read = sampler(view, form, bits);
      const frame = (channels * bits) / 8;
      if (!read || !frame || !rate) return null;
      // Streamed files do not know their size and say 0 or 4 GiB.
      const end = size === 0 ? view.byteLength : Math.min(start + size, view.byteLength);
      const frames = Math.floor((end - start) / frame);
      return { duration: frames / rate, peaks: loudness(read, start, frame, frames, count) };
    }
    at = start + size + (size % 2);
  }
  return null;
}

/**
 * @param {(at: number) => number} read
 * @param {number} start
 * @param {number} frame bytes of one frame; its first channel stands for all
 * @param {number} frames
 * @param {number} count
 */
function loudness(read, start, frame, frames, count) {
  const peaks = new Float32Array(count);
  let most = 0;
  for (let piece = 0; piece < count; piece += 1) {
    const from = Math.floor((piece * frames) / count);
    const to = Math.floor(((piece + 1) * frames) / count);
    let sum = 0;
    for (let i = from; i < to; i += 1) sum += read(start + i * frame) ** 2;
    // The mean, not the peak: dense music is a solid block otherwise.
    const level = to > from ? Math.sqrt(sum / (to - from)) : 0;
    peaks[piece] = level;
    most = Math.max(most, level);
  }
  return most > 0 ? peaks.map((peak) => peak / most) : peaks;
}
