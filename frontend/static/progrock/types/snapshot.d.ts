/**
 * A snapshot made of what came over the wire, or null if it lacks what a job cannot be shown or ordered
 * without. What else is missing or broken is left empty: a title is no reason to lose a percentage.
 *
 * @param {unknown} value
 */
export function readSnapshot(value: unknown): Readonly<{
    error: {
        code: string;
        message: string;
    } | null;
    created: number;
    at: number;
    heard: number | null;
    moved: number | null;
    due: number | null;
    stalled: boolean;
    attempt: number;
    retry_of: string | null;
    parent: string | null;
    can_retry: boolean;
    lines: number;
    version: number;
    cut?: true | undefined;
    job: string;
    seq: number;
    service: string;
    title: string;
    state: State;
    progress: number;
    complete: boolean;
    percent: number | null;
    message: string;
    misses: number;
    left: number | null;
    file: string | null;
    result: {} | null;
}> | null;
/**
 * Whether `incoming` takes the place of `held`: a complete snapshot is final (but for the result that a list had cut),
 * an answer replaces, unless it is of before the first step (or the first since the server's restart), an update must
 * be newer.
 *
 * @param {Snapshot | undefined} held
 * @param {Snapshot} incoming
 * @param {boolean} answer
 */
export function supersedes(held: Snapshot | undefined, incoming: Snapshot, answer: boolean): boolean;
export function isObject(value: unknown): value is Record<string, unknown>;
export function text(value: unknown): string;
export function amount(value: unknown, most?: number): number | null;
export type State = "pending" | "running" | "cancelling" | "succeeded" | "failed" | "cancelled";
/**
 * the keys are those of docs/reference/protocol.md
 */
export type Snapshot = NonNullable<ReturnType<typeof readSnapshot>>;
