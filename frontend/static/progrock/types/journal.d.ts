/** A line made of what came over the wire, or null if it has no number. @param {unknown} value */
export function readLine(value: unknown): Readonly<{
    n: number;
    seq: number;
    at: number;
    level: string;
    text: string;
    data: unknown;
}> | null;
export class Journal {
    /** @type {readonly Line[]} by their numbers */ lines: readonly Line[];
    /** @type {number | undefined} the cursor: the seq of the last snapshot whose lines we all have */ after: number | undefined;
    /**
     * Merge what a frame brings.
     *
     * @param {Record<string, unknown>} frame
     * @param {Snapshot} snapshot that frame's
     * @returns {Line[]} those that we did not have
     */
    take({ journal, resume }: Record<string, unknown>, { seq, lines: count }: Snapshot): Line[];
    /** Whether there are lines that we were not told. @param {Snapshot} snapshot */
    lacks({ lines }: Snapshot): boolean;
    #private;
}
/**
 * the keys are those of docs/reference/protocol.md
 */
export type Line = NonNullable<ReturnType<typeof readLine>>;
export type Snapshot = import("./snapshot.js").Snapshot;
