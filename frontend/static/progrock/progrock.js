// @ts-check
// What a page imports.

export { ProgRock, ProgRockError } from './client.js';

/** @typedef {import('./client.js').Options} Options */
/** @typedef {import('./client.js').Connected} Connected */
/** @typedef {import('./client.js').Lines} Lines */
/** @typedef {import('./journal.js').Line} Line */
/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {import('./snapshot.js').State} State */
