/**
 * @typedef {object} Watcher
 * @property {(frozen: boolean) => void} away frozen: nothing will run here for a while
 * @property {(online: boolean) => void} back it can run again, hidden or not; online: it is the network that is back
 */
export class Presence {
    /** @param {Watcher} watcher @param {number} patience for how long a page may be hidden, in ms */
    constructor(watcher: Watcher, patience: number);
    get hidden(): boolean;
    /** A hidden page waits from now on. */
    wait(): void;
    end(): void;
    #private;
}
export type Watcher = {
    /**
     * frozen: nothing will run here for a while
     */
    away: (frozen: boolean) => void;
    /**
     * it can run again, hidden or not; online: it is the network that is back
     */
    back: (online: boolean) => void;
};
