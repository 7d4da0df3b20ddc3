/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {import('./prog-rock.js').ProgRockElement} ProgRockElement */
/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockJobsElement extends HTMLElement {
    connectedCallback(): void;
    disconnectedCallback(): void;
    #private;
}
export type Snapshot = import("./snapshot.js").Snapshot;
export type ProgRockElement = import("./prog-rock.js").ProgRockElement;
