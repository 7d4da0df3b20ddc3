export class Connection {
    /** @param {URL} endpoint @param {Listener} listener @param {Surroundings} surroundings */
    constructor(endpoint: URL, listener: Listener, surroundings: Surroundings);
    /** @type {ConnectionState} */ state: ConnectionState;
    /** @type {number | null} the Date.now() of the next try */ again: number | null;
    /** @type {Reason} */ reason: Reason;
    /** Connect now, unless it does already. @param {boolean} [better] whether to look for a better way, too */
    connect(better?: boolean): void;
    /** @param {import('./questions.js').Frame} frame */
    send(frame: import("./questions.js").Frame): void;
    /** Give up this link, which seems to be dead, and plan the next. */
    drop(): void;
    /** Let go, until `connect`. @param {Reason} reason */
    close(reason: Reason): void;
    #private;
}
/**
 * open is after `hello`
 */
export type ConnectionState = "connecting" | "open" | "closed";
/**
 * why it is closed and does not come back by itself
 */
export type Reason = "" | "signed-out" | "paused" | "ended";
/**
 * a frame of the server's
 */
export type Received = Record<string, unknown>;
/**
 * One way to the server: takes questions, gives frames.
 */
export type Way = {
    send: (frame: import("./questions.js").Frame) => void;
    /**
     * nothing is told after that
     */
    close: () => void;
};
/**
 * How a way ended: with a close code; with a wait in ms that the server wants; open, but letting nothing through
 * (`mute`); or never open (`hung`).
 */
export type End = {
    code?: number;
    wait?: number;
    mute?: boolean;
    hung?: boolean;
};
/**
 * by a way, `hello` first
 */
export type Told = {
    heard: (frame: Received) => void;
    gone: (end: End) => void;
};
/**
 * What a test replaces.
 */
export type Surroundings = {
    WebSocket?: (new (url: string) => WebSocket) | undefined;
    EventSource?: (new (url: string) => EventSource) | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * null: none
     */
    locks?: LockManager | null | undefined;
    BroadcastChannel?: (new (name: string) => BroadcastChannel) | undefined;
    random?: (() => number) | undefined;
    /**
     * a clock that does not jump, in milliseconds
     */
    now?: (() => number) | undefined;
    /**
     * a word for whom the page speaks for
     */
    who?: string | undefined;
};
/**
 * Who is told.
 */
export type Listener = {
    /**
     * the state
     */
    changed: () => void;
    /**
     * a frame; each `hello` is of a server that knows nothing of us
     */
    heard: (frame: Received) => void;
};
export type Link = {
    level: number;
    way: Way | null;
    timer: ReturnType<typeof setTimeout>;
};
