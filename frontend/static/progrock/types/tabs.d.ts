/**
 * To another tab this is a connection like any: when another tab takes over, that is a reconnect.
 *
 * Messages of who leads: `{from, to?, how?, hello?, frame?}`, of the others: `{from, ask}`, where `ask` is
 * a frame, `hi`, `bye`, `now` or `better`.
 */
export class Tabs {
    /**
     * @param {string} name of the endpoint and of whom the page speaks for
     * @param {LockManager} locks
     * @param {URL} endpoint
     * @param {import('./connection.js').Listener} listener
     * @param {import('./connection.js').Surroundings} surroundings
     */
    constructor(name: string, locks: LockManager, endpoint: URL, listener: import("./connection.js").Listener, surroundings: import("./connection.js").Surroundings);
    /** @type {import('./connection.js').ConnectionState} */ state: import("./connection.js").ConnectionState;
    /** @type {number | null} */ again: number | null;
    /** @type {Reason} */ reason: Reason;
    /** @param {boolean} [better] */
    connect(better?: boolean): void;
    /** @param {import('./questions.js').Frame} frame */
    send(frame: import("./questions.js").Frame): void;
    /** Who leads does not answer. */
    drop(): void;
    /** Let go, and let another lead, until `connect`. @param {Reason} reason */
    close(reason: Reason): void;
    #private;
}
export type Reason = import("./connection.js").Reason;
export type Received = import("./connection.js").Received;
