export { ProgRockError };
/**
 * Events: `state`, whose detail is `{state, again, reason}` (`again`: the Date.now() of the next try, or null;
 * `reason`: why there will be none); `snapshot`, whose detail is the Snapshot; `lines`, before the snapshot that
 * counts them, whose detail is `{job, lines, reset, resume}`: the new ones, and whether those from before are void;
 * `jobs`, after a list was answered, also to a question of the client's own, whose detail is the Snapshots in it;
 * `refused`, whose detail is `{job, code, message}`, or with `channel`: the server will not let us watch that; `event`, whose detail is
 * `{channel, event, data}`: somebody's word to a channel that is subscribed to.
 */
export class ProgRock extends EventTarget {
    /**
     * The one client this page has for an endpoint.
     *
     * @param {string} [endpoint]
     * @param {Options} [options] those of who comes first, but for `background`, which anybody may ask for
     */
    static shared(endpoint?: string, options?: Options): ProgRock;
    /**
     * @param {string} [endpoint] a path, or an address of http, https, ws or wss
     * @param {Options} [options]
     */
    constructor(endpoint?: string, options?: Options);
    /** Whether to stay connected however long the page is hidden. */ background: boolean;
    /** @returns {Connected} */
    get connection(): Connected;
    /**
     * The lines of a job's journal that are known here, by their numbers.
     *
     * @param {string} job
     * @returns {readonly Line[]}
     */
    lines(job: string): readonly Line[];
    /**
     * The last word on a job, how many milliseconds ago that was, and how many of them were over when the server
     * last had nothing newer.
     *
     * @param {string} job
     * @returns {{snapshot: Snapshot, since: number, told: number} | null}
     */
    last(job: string): {
        snapshot: Snapshot;
        since: number;
        told: number;
    } | null;
    /**
     * Where the finished file of a job is.
     *
     * @param {string} job
     */
    file(job: string): string;
    /**
     * Start a job and follow it. The same `key` is the same job, however often it is sent.
     *
     * @param {{service?: string, params?: Record<string, unknown>, key?: string}} [wish]
     * @returns {Promise<Snapshot>}
     */
    start({ service, params, key }?: {
        service?: string;
        params?: Record<string, unknown>;
        key?: string;
    }): Promise<Snapshot>;
    /**
     * Follow a job until `unwatch`, over reconnects and silence. Resolves with the first snapshot; what else
     * comes of it is told by events, so that the promise may be left alone.
     *
     * @param {string} job
     * @returns {Promise<Snapshot>}
     */
    watch(job: string): Promise<Snapshot>;
    /**
     * The snapshots of a job as they come, the newest if they come faster than they are taken, the last one complete.
     *
     * @param {string} job
     * @returns {AsyncIterableIterator<Snapshot>} throws a ProgRockError if the job is not known, or the client closed
     */
    follow(job: string): AsyncIterableIterator<Snapshot>;
    /**
     * The opposite of one `watch`.
     *
     * @param {string} job
     */
    unwatch(job: string): undefined;
    /**
     * Ask for a job to be cancelled.
     *
     * @param {string} job
     * @returns {Promise<Snapshot>}
     */
    cancel(job: string): Promise<Snapshot>;
    /**
     * Try a job again that is over: start the new job that does, and follow it.
     *
     * @param {string} job
     * @returns {Promise<Snapshot>}
     */
    retry(job: string): Promise<Snapshot>;
    /**
     * My newest jobs, newest first; from then on, the snapshots of all of mine come by themselves.
     *
     * @returns {Promise<Snapshot[]>}
     */
    list(): Promise<Snapshot[]>;
    /**
     * Hear the events of a channel until `unsubscribe`, over reconnects: `me`, the id of a job of mine, or a name that the
     * site lets me hear. Resolves once they come; what else comes of it is told by `refused`.
     *
     * @param {string} channel
     * @returns {Promise<void>}
     */
    subscribe(channel: string): Promise<void>;
    /**
     * The opposite of one `subscribe`.
     *
     * @param {string} channel
     */
    unsubscribe(channel: string): void;
    /**
     * Call a function with what each event of that name says, on a channel that is subscribed to.
     *
     * @param {string} channel
     * @param {string} event
     * @param {(data: any) => void} then
     * @param {AddEventListenerOptions} [options]
     */
    on(channel: string, event: string, then: (data: any) => void, options?: AddEventListenerOptions): void;
    /** Connect now. Everything that needs a connection does this by itself. */
    connect(): void;
    /** End this client for good. */
    close(): void;
    #private;
}
export type Snapshot = import("./snapshot.js").Snapshot;
export type Line = import("./journal.js").Line;
export type Frame = import("./questions.js").Frame;
export type Lines = {
    job: string;
    lines: Line[];
    reset: boolean;
    resume: "recovered" | "reset" | null;
};
export type Connected = Pick<Connection, "state" | "again" | "reason">;
/**
 * `who`: a word for whom the page speaks for, without which the tabs of a browser do not share a connection (default:
 * the content of `<meta name="progrock-who">`). `background`: stay connected however long the page is hidden.
 */
export type Options = import("./connection.js").Surroundings & {
    who?: string;
    background?: boolean;
};
import { ProgRockError } from './questions.js';
import { Connection } from './connection.js';
