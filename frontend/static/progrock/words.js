// @ts-check
// What to tell a person about a snapshot: how it stands, how long ago, how much longer.

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {'' | 'stalled' | 'quiet' | 'retrying' | 'late' | 'disconnected'} Condition */

/** An answer older than this is worth a word. */
export const QUIET_AFTER = 5_000;
/** A look takes ten seconds at most. One that is later has not begun: the delay is ours. */
export const LATE_AFTER = 11_000;

const STATES = {
  pending: 'Waiting', running: 'Running', cancelling: 'Cancelling', succeeded: 'Done', failed: 'Failed', cancelled: 'Cancelled',
};

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
  if (!minutes) return `${seconds}${NB}s`;
  const [most, large, rest, small] = minutes < 60 ? [minutes, 'min', seconds % 60, 's'] : [Math.floor(minutes / 60), 'h', minutes % 60, 'min'];
  return `${most}${NB}${large}${rest ? `${NB}${rest}${NB}${small}` : ''}`;
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
 * How long ago the service answered, or the job moved: server time against server time, plus what passed here.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {'heard' | 'moved'} clock
 */
export function ago(snapshot, since, clock) {
  return Math.max(0, snapshot.at - (snapshot[clock] ?? snapshot.created)) + Math.max(0, since);
}

/**
 * How late our next look is.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 */
export function lateness({ at, due }, since) {
  return due === null ? 0 : Math.max(0, at + since - due);
}

/**
 * What is out of the ordinary, worst first.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean} connected
 * @param {number} [told] the `since` of the server's last word on it: who slept does not know who is late
 * @returns {Condition}
 */
export function condition(snapshot, since, connected, told = 0) {
  if (snapshot.complete) return '';
  if (!connected) return 'disconnected';
  if (lateness(snapshot, told) > LATE_AFTER) return 'late';
  if (snapshot.misses > 0) return 'retrying';
  // Before the look is due, nobody was asked.
  const silence = snapshot.due === null ? ago(snapshot, since, 'heard') : lateness(snapshot, since);
  if (silence > QUIET_AFTER) return 'quiet';
  return snapshot.stalled ? 'stalled' : '';
}

/**
 * One line on how the job stands.
 *
 * @param {Snapshot} snapshot
 * @param {number} since
 * @param {boolean} connected
 * @param {number} [told] as above
 */
export function status(snapshot, since, connected, told) {
  const age = duration(ago(snapshot, since, 'heard'));
  const heard = snapshot.heard === null ? 'nothing heard yet' : `last answer ${age} ago`;
  switch (condition(snapshot, since, connected, told)) {
    case 'disconnected':
      return 'Connection lost. This is how it stood.';
    case 'late':
      return `Waiting for our turn to look, ${duration(lateness(snapshot, since))} late. The delay is on our side.`;
    case 'retrying':
      return `No answer, asking again. ${snapshot.misses} ${snapshot.misses === 1 ? 'try' : 'tries'}, ${heard}`;
    case 'quiet':
    case 'stalled': {
      if (snapshot.state === 'pending') return `Still waiting after ${age}`;
      const still = snapshot.stalled ? `, no movement for ${duration(ago(snapshot, since, 'moved'))}` : '';
      return `Still ${snapshot.state === 'cancelling' ? 'cancelling' : 'going'}, ${heard}${still}`;
    }
  }
  return STATES[snapshot.state];
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
  // What stood so before anybody looked is no news.
  if (!before && (now.complete || now.state === 'running')) return '';
  if (before?.state !== now.state && now.state !== 'pending') {
    const words = now.state === 'running' ? 'started' : STATES[now.state].toLowerCase();
    return `${now.title}: ${words}${now.state === 'failed' ? `. ${reason(now)}` : ''}`;
  }
  const quarter = Math.floor(now.progress / 25);
  return before && quarter > Math.floor(before.progress / 25) ? `${now.title}: ${quarter * 25} percent` : '';
}
