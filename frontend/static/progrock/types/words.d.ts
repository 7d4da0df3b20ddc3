/**
 * A duration as people say it, in at most two units.
 *
 * @param {number} ms
 */
export function duration(ms: number): string;
/**
 * How much longer, counted on from when the estimate came. An estimate that has run out is not shown as
 * zero, which would be a promise.
 *
 * @param {Snapshot} snapshot
 * @param {number} since milliseconds since it came
 */
export function timeLeft(snapshot: Snapshot, since: number): string;
/**
 * How long ago the service answered, or the job moved: server time against server time, plus what passed here.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {'heard' | 'moved'} clock
 */
export function ago(snapshot: Snapshot, since: number, clock: "heard" | "moved"): number;
/**
 * How late our next look is.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 */
export function lateness({ at, due }: Snapshot, since: number): number;
/**
 * What is out of the ordinary, worst first.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean | 'signed-out'} connected
 * @param {number} [told] the `since` of the server's last word on it: who slept does not know who is late
 * @returns {Condition}
 */
export function condition(snapshot: Snapshot, since: number, connected: boolean | "signed-out", told?: number): Condition;
/**
 * One line on how the job stands.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean | 'signed-out'} connected
 * @param {number} [told] as above
 */
export function status(snapshot: Snapshot, since: number, connected: boolean | "signed-out", told?: number): string;
/**
 * What the service says, in its own words: why it failed, or what is going on.
 *
 * @param {Snapshot} snapshot
 */
export function message({ state, error, message: said }: Snapshot): string;
/**
 * What to announce to somebody who cannot see the bar: beginnings, quarters and ends, not every tick.
 *
 * @param {Snapshot | null} before
 * @param {Snapshot} now
 */
export function announcement(before: Snapshot | null, now: Snapshot): string;
/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {'' | 'stalled' | 'quiet' | 'retrying' | 'late' | 'disconnected' | 'signed-out'} Condition */
/** An answer older than this is worth a word. */
export const QUIET_AFTER: 5000;
/** A look takes ten seconds at most. One that is later has not begun: the delay is ours. */
export const LATE_AFTER: 11000;
export function say(words: string, values?: Record<string, string | number>): string;
/** @type {Record<Snapshot['state'], string>} */
export const STATES: Record<Snapshot["state"], string>;
export function join(...words: unknown[]): string;
export function percent(progress: number): string;
export type Snapshot = import("./snapshot.js").Snapshot;
export type Condition = "" | "stalled" | "quiet" | "retrying" | "late" | "disconnected" | "signed-out";
