/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/**
 * @param {import('./client.js').ProgRock} client
 * @param {string} job
 * @returns {AsyncIterableIterator<Snapshot>}
 */
export function follow(client: import("./client.js").ProgRock, job: string): AsyncIterableIterator<Snapshot>;
export type Snapshot = import("./snapshot.js").Snapshot;
