/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockJobsElement extends HTMLElement {
    connectedCallback(): void;
    disconnectedCallback(): void;
    #private;
}
export type Snapshot = import("./snapshot.js").Snapshot;
