// @ts-check
// What the title of a track says: `Name — 7/8, 142 bpm`, any part of which may be missing.

/**
 * @typedef {object} Title
 * @property {string} name
 * @property {{beats: number, unit: number} | null} meter
 * @property {number | null} tempo beats (quarters) a minute
 */

/**
 * @param {string} text
 * @returns {Title}
 */
export function readTitle(text) {
  const at = text.lastIndexOf(' — ');
  const rest = at < 0 ? '' : text.slice(at + 3);
  const meter = /\b(\d{1,2})\/(\d{1,2})\b/.exec(rest);
  const tempo = /\b(\d{1,3}) bpm\b/.exec(rest);
  // A dash that is part of the name, with nothing musical behind it, stays in the name.
  const name = meter || tempo ? text.slice(0, at) : text;
  return {
    name: name.trim() || text,
    meter: meter && Number(meter[1]) > 0 ? { beats: Number(meter[1]), unit: Number(meter[2]) } : null,
    tempo: tempo && Number(tempo[1]) > 0 ? Number(tempo[1]) : null,
  };
}
