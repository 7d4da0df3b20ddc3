/** @typedef {{action: string, job?: string, channel?: string, ref?: string, [key: string]: unknown}} Frame */
/**
 * @typedef {object} Question
 * @property {Frame} frame
 * @property {number | null} sent when it went out on this connection
 * @property {Promise<any>} answer
 * @property {(answer: any) => void} resolve
 * @property {(error: ProgRockError) => void} reject
 */
/** An error of the server's, or of the client; `code` as in the protocol, or `closed`, `bad_answer`. */
export class ProgRockError extends Error {
    /** @param {string} code @param {string} message */
    constructor(code: string, message: string);
    code: string;
}
/** Every action is idempotent (`start` by its key), so that sending again is always right. */
export class Questions {
    /** @param {(frame: Frame) => void} send @param {() => number} now */
    constructor(send: (frame: Frame) => void, now: () => number);
    /**
     * @param {Frame} frame
     * @param {boolean} connected else it goes out with `resend`
     * @returns {Promise<any>}
     */
    ask(frame: Frame, connected: boolean): Promise<any>;
    /** There is a new connection: everything again. */
    resend(): void;
    /** The connection is gone. */
    lost(): void;
    /** @param {string} action @param {string} [about] @returns {Question | undefined} the one that asks that of a job, or a channel */
    find(action: string, about?: string): Question | undefined;
    /**
     * Whether one has been waiting for too long. Where many wait, and others have their answers, that is five times as long.
     *
     * @param {number} patience in ms
     */
    overdue(patience: number): boolean;
    /** @param {unknown} ref @returns {Question | undefined} */
    get(ref: unknown): Question | undefined;
    /** It has its answer. @param {Question} question */
    settle({ frame }: Question): void;
    /** Nobody wants to know any more. @param {(frame: Frame) => boolean} which @param {ProgRockError} error */
    abandon(which: (frame: Frame) => boolean, error: ProgRockError): void;
    #private;
}
export type Frame = {
    action: string;
    job?: string;
    channel?: string;
    ref?: string;
    [key: string]: unknown;
};
export type Question = {
    frame: Frame;
    /**
     * when it went out on this connection
     */
    sent: number | null;
    answer: Promise<any>;
    resolve: (answer: any) => void;
    reject: (error: ProgRockError) => void;
};
