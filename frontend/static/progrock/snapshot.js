// @ts-check
// What a snapshot is, how to read one from a stranger, and which of two to keep.

/** @typedef {'pending' | 'running' | 'cancelling' | 'succeeded' | 'failed' | 'cancelled'} State */
/** @typedef {NonNullable<ReturnType<typeof readSnapshot>>} Snapshot the keys are those of docs/reference/protocol.md */

/** @type {ReadonlySet<string>} */
const FINAL = new Set(['succeeded', 'failed', 'cancelled']);
const STATES = new Set(['pending', 'running', 'cancelling', ...FINAL]);

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/** @param {unknown} value */
export const text = (value) => (typeof value === 'string' ? value : '');

/** @param {unknown} value @param {number} [most] */
export const amount = (value, most = Number.MAX_SAFE_INTEGER) =>
  typeof value === 'number' && value >= 0 && value <= most ? value : null;

/**
 * A snapshot made of what came over the wire, or null if it lacks what a job cannot be shown or ordered
 * without. What else is missing or broken is left empty: a title is no reason to lose a percentage.
 *
 * @param {unknown} value
 */
export function readSnapshot(value) {
  if (!isObject(value)) return null;
  const { job, seq, state, error } = value;
  const progress = amount(value.progress, 100);
  if (typeof job !== 'string' || !job || typeof state !== 'string' || !STATES.has(state)) return null;
  if (!Number.isSafeInteger(seq) || progress === null) return null;
  const created = amount(value.created) ?? 0;
  return Object.freeze({
    job,
    seq: Number(seq),
    service: text(value.service),
    title: text(value.title) || job,
    state: /** @type {State} */ (state),
    progress: Math.floor(progress),
    complete: FINAL.has(state),
    percent: amount(value.percent, 100),
    message: text(value.message),
    misses: amount(value.misses) ?? 0,
    left: amount(value.left),
    file: text(value.file) || null,
    result: value.result ?? null,
    ...(value.cut === true && { cut: true }),
    error: isObject(error) ? { code: text(error.code), message: text(error.message) } : null,
    created,
    at: amount(value.at) ?? created,
    heard: amount(value.heard),
    moved: amount(value.moved),
    due: amount(value.due),
    stalled: value.stalled === true,
    attempt: Math.max(1, Math.floor(amount(value.attempt) ?? 1)),
    retry_of: text(value.retry_of) || null,
    parent: text(value.parent) || null,
    can_retry: value.can_retry !== false,
    lines: Math.floor(amount(value.lines) ?? 0),
    version: Math.floor(amount(value.version) ?? 1),
  });
}

/**
 * Whether `incoming` takes the place of `held`: a complete snapshot is final (but for the result that a list had cut),
 * an answer replaces, unless it is of before the first step (or the first since the server's restart), an update must
 * be newer.
 *
 * @param {Snapshot | undefined} held
 * @param {Snapshot} incoming
 * @param {boolean} answer
 */
export function supersedes(held, incoming, answer) {
  if (!held) return true;
  if (held.complete) return held.cut === true && !incoming.cut;
  return incoming.seq > held.seq || (answer && (incoming.seq > 0 || held.seq === 0));
}
