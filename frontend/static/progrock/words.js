// @ts-check
// What to tell a person about a snapshot: how it stands, how long ago, how much longer.

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {'' | 'quiet' | 'retrying' | 'disconnected'} Condition */

/** An answer older than this is worth a word. */
export const QUIET_AFTER = 5_000;

/** Between a number and its unit, which belong on one line. */
const NB = '\u00a0';

/**
 * A duration as people say it, in at most two units.
 *
 * @param {number} ms
 */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const units = hours ? [`${hours}${NB}h`, minutes % 60 && `${minutes % 60}${NB}min`] : [`${minutes}${NB}min`, seconds % 60 && `${seconds % 60}${NB}s`];
  return minutes ? units.filter(Boolean).join(NB) : `${seconds}${NB}s`;
}

/**
 * How much longer, counted on from when the estimate came. An estimate that has run out is not shown as
 * zero, which would be a promise.
 *
 * @param {Snapshot} snapshot
 * @param {number} since milliseconds since it came
 */
export function timeLeft(snapshot, since) {
  if (snapshot.left === null || snapshot.complete || snapshot.state === 'cancelling') return '';
  const left = snapshot.left - Math.max(0, since);
  return left < 1000 ? 'any moment' : `about ${duration(left)} left`;
}

/**
 * How long the service has not been heard of: server time against server time, plus what has passed here.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 */
export function silence(snapshot, since) {
  return Math.max(0, snapshot.at - (snapshot.heard ?? snapshot.created)) + Math.max(0, since);
}

/**
 * What is out of the ordinary, worst first.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean} connected
 * @returns {Condition}
 */
export function condition(snapshot, since, connected) {
  if (snapshot.complete) return '';
  if (!connected) return 'disconnected';
  if (snapshot.misses > 0) return 'retrying';
  return silence(snapshot, since) > QUIET_AFTER ? 'quiet' : '';
}

/**
 * One line on how the job stands.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean} connected
 */
export function status(snapshot, since, connected) {
  const age = duration(silence(snapshot, since));
  switch (snapshot.state) {
    case 'succeeded':
      return 'Done';
    case 'failed':
      return 'Failed';
    case 'cancelled':
      return 'Cancelled';
  }
  switch (condition(snapshot, since, connected)) {
    case 'disconnected':
      return 'Connection lost. This is how it stood.';
    case 'retrying':
      return `No answer, asking again. ${snapshot.misses} ${snapshot.misses === 1 ? 'try' : 'tries'}, last answer ${age} ago`;
    case 'quiet':
      if (snapshot.state === 'pending') return `Still waiting, since ${age}`;
      return `Still ${snapshot.state === 'cancelling' ? 'cancelling' : 'going'}, last answer ${age} ago`;
  }
  if (snapshot.state === 'pending') return 'Waiting';
  return snapshot.state === 'cancelling' ? 'Cancelling' : 'Running';
}

/**
 * What the status line does not say already: the reason of a failure, or what is going on.
 *
 * @param {Snapshot} snapshot
 */
export function reason(snapshot) {
  if (snapshot.state === 'failed') return snapshot.error?.message || snapshot.message || 'No reason was given.';
  return snapshot.message;
}

/**
 * What to announce to somebody who cannot see the bar: beginnings, quarters and ends, not every tick.
 *
 * @param {Snapshot | null} before
 * @param {Snapshot} now
 */
export function announcement(before, now) {
  if (before?.state !== now.state) {
    // What was over before anybody looked is no news.
    if (!before && now.complete) return '';
    switch (now.state) {
      case 'running':
        return before ? `${now.title}: started` : '';
      case 'cancelling':
        return `${now.title}: cancelling`;
      case 'succeeded':
        return `${now.title}: done`;
      case 'cancelled':
        return `${now.title}: cancelled`;
      case 'failed':
        return `${now.title}: failed. ${reason(now)}`;
    }
  }
  const quarter = Math.floor(now.progress / 25);
  if (before && !now.complete && quarter > Math.floor(before.progress / 25)) return `${now.title}: ${quarter * 25} percent`;
  return '';
}
