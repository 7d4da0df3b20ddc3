// @ts-check
// The record: five grooves, one for each odd meter, drawn as its beats, and the groove being cut.

import { svg } from './svg.js';

/**
 * The meters from the label to the rim, and how each is counted: 7/8 is 2 + 2 + 3.
 *
 * @type {ReadonlyArray<readonly number[]>}
 */
const COUNTS = [
  [3, 2],
  [2, 2, 3],
  [2, 2, 2, 3],
  [3, 3, 3, 2],
  [3, 3, 3, 2, 2],
];

const FIRST = 246;
const PITCH = 50;
const WIDTH = 40;
/** The groove being cut: its middle and its width. */
const GROOVE = 193;
const CUT = 42;
/** Between two beats, in units of the drawing. */
const GAP = 7;

/** @param {number} radius @param {number} turn from 0 to 1, clockwise from twelve */
function point(radius, turn) {
  const angle = (turn - 0.25) * 2 * Math.PI;
  return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
}

/**
 * A piece of a ring, its gap of the same width all along.
 *
 * @param {number} inner @param {number} outer @param {number} from @param {number} to
 */
function beat(inner, outer, from, to) {
  const a = GAP / 2 / (2 * Math.PI * inner);
  const b = GAP / 2 / (2 * Math.PI * outer);
  const large = to - from > 0.5 ? 1 : 0;
  return (
    `M${point(outer, from + b)}A${outer} ${outer} 0 ${large} 1 ${point(outer, to - b)}` +
    `L${point(inner, to - a)}A${inner} ${inner} 0 ${large} 0 ${point(inner, from + a)}Z`
  );
}

/**
 * One groove: the first beat of each group is the whole width, the others are fainter.
 *
 * @param {readonly number[]} groups @param {number} index
 */
function ring(groups, index) {
  const beats = groups.reduce((sum, size) => sum + size, 0);
  const outer = FIRST + index * PITCH + WIDTH;
  let path = '';
  let at = 0;
  for (const size of groups) {
    for (let i = 0; i < size; i += 1, at += 1) {
      const width = WIDTH * ([1, 0.42, 0.16][i] ?? 0.16);
      path += beat(outer - width, outer, at / beats, (at + 1) / beats);
    }
  }
  return svg('path', { d: path, 'data-beats': beats });
}

/**
 * What the record shows.
 *
 * @typedef {object} Groove
 * @property {number} percent
 * @property {number | null} beats of the meter that is playing
 * @property {number | null} turn seconds for one turn
 * @property {boolean} moves whether something really moves
 * @property {boolean} cut whether there is a job at all
 */

/**
 * Draw the record.
 *
 * @param {HTMLElement} stage holds both drawings
 * @param {SVGSVGElement} still what stays: the disc and the groove being cut
 * @param {SVGSVGElement} turning what turns: the five grooves
 * @returns {(groove: Groove) => void} shows how far it is
 */
export function record(stage, still, turning) {
  const rings = COUNTS.map(ring);
  const cut = svg('circle', { class: 'cut', r: GROOVE, pathLength: 100, transform: 'rotate(-90)' });
  const bars = svg('path', { class: 'bars' });
  turning.replaceChildren(...rings);
  still.replaceChildren(
    svg('circle', { class: 'disc', r: 500 }),
    svg('circle', { class: 'edge', r: GROOVE - CUT / 2 }),
    svg('circle', { class: 'edge', r: GROOVE + CUT / 2 }),
    cut,
    bars,
  );
  let divided = -1;

  return ({ percent, beats, turn, moves, cut: working }) => {
    stage.style.setProperty('--percent', String(percent));
    if (turn) stage.style.setProperty('--turn', `${turn.toFixed(1)}s`);
    stage.classList.toggle('is-turning', moves);
    stage.classList.toggle('is-cutting', working);
    if (divided === (beats ?? 0)) return;
    divided = beats ?? 0;
    for (const path of rings) path.classList.toggle('is-playing', path.dataset.beats === String(beats));
    const lines = Array.from(
      { length: divided },
      (_, i) => `M${point(GROOVE - CUT / 2 - 4, i / divided)}L${point(GROOVE + CUT / 2 + 4, i / divided)}`,
    );
    bars.setAttribute('d', lines.join(''));
  };
}
