/** All that it takes and shows is in docs/reference/elements.md. */
export class ProgRockToastsElement extends HTMLElement {
    connectedCallback(): void;
    disconnectedCallback(): void;
    /** Ask whether notifications may be shown; to be called from a click. @returns {Promise<NotificationPermission>} */
    allow(): Promise<NotificationPermission>;
    #private;
}
export type Snapshot = import("./snapshot.js").Snapshot;
