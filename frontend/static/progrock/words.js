// @ts-check
// What to tell a person about a snapshot, in the language of the page: how it stands, how long ago, how much longer.

/** @typedef {import('./snapshot.js').Snapshot} Snapshot */
/** @typedef {'' | 'stalled' | 'quiet' | 'retrying' | 'late' | 'disconnected' | 'signed-out'} Condition */

/** An answer older than this is worth a word. */
export const QUIET_AFTER = 5_000;
/** A look takes ten seconds at most. One that is later has not begun: the delay is ours. */
export const LATE_AFTER = 11_000;

// What {% progrock_words %} left in the page: the words of its language, by the English ones.
const block = globalThis.document?.getElementById('progrock-words');
/** @type {Record<string, string>} */
const translated = JSON.parse(block?.textContent || '{}');

/** @type {string[]} none is the browser's own */
let language = [];
try {
  language = Intl.getCanonicalLocales(block?.lang || globalThis.document?.documentElement.lang);
} catch {
  // A page may call its language what it likes.
}

/**
 * Words in the language of the page. Every call has them as a literal, which is also what a test looks for.
 *
 * @param {string} words in English
 * @param {Record<string, string | number>} [values] of what stands in braces
 */
export const say = (words, values = {}) =>
  (translated[words] ?? words).replace(/{(\w+)}/g, (_, name) => String(values[name]));

/** @param {Intl.NumberFormatOptions} options */
const format = (options) => new Intl.NumberFormat(language, options);
/** @param {string} name */
const unit = (name) => format({ style: 'unit', unit: name, unitDisplay: 'short' });
const PERCENT = format({ style: 'percent' });
const SECONDS = unit('second');
const MINUTES = unit('minute');
const HOURS = unit('hour');

/** @type {Record<Snapshot['state'], string>} */
export const STATES = {
  pending: say('Waiting'),
  running: say('Running'),
  cancelling: say('Cancelling'),
  succeeded: say('Done'),
  failed: say('Failed'),
  cancelled: say('Cancelled'),
};

/** Why a job failed, by `error.code`. @type {Record<string, string>} */
const REASONS = {
  remote: say('The service reports a failure.'),
  stopped: say('The service stopped it.'),
  start_unknown: say('Nobody knows whether it was started.'),
  expired: say('It was not started in time.'),
  vanished: say('The service has lost it.'),
  refused: say('The service refuses it.'),
  auth: say('The service does not let us in.'),
  nonsense: say('The service talks nonsense.'),
  unreachable: say('The service did not answer.'),
  deadline: say('It took too long.'),
  lost: say('We lost sight of it.'),
  config: say('Its service is not set up here any more.'),
};

/** @param {unknown[]} words those that are not empty, one after the other */
export const join = (...words) => words.filter(Boolean).join(say(', '));

/** @param {number} progress from 0 to 100 */
export const percent = (progress) => PERCENT.format(progress / 100);

/**
 * A duration as people say it, in at most two units.
 *
 * @param {number} ms
 */
export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const [most, large, rest, small] =
    minutes < 60 ? [minutes, MINUTES, seconds % 60, SECONDS] : [Math.floor(minutes / 60), HOURS, minutes % 60, MINUTES];
  const words = [most && large.format(most), (rest || !most) && small.format(rest)];
  // A number and its unit belong on one line.
  return words.filter(Boolean).join(' ').replaceAll(' ', '\u00a0');
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
  return left < 1000 ? say('any moment') : say('about {time} left', { time: duration(left) });
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
 * @param {boolean | 'signed-out'} connected
 * @param {number} [told] the `since` of the server's last word on it: who slept does not know who is late
 * @returns {Condition}
 */
export function condition(snapshot, since, connected, told = 0) {
  if (snapshot.complete) return '';
  if (connected === 'signed-out') return connected;
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
 * @param {boolean | 'signed-out'} connected
 * @param {number} [told] as above
 */
export function status(snapshot, since, connected, told) {
  const age = duration(ago(snapshot, since, 'heard'));
  const heard = snapshot.heard === null ? say('nothing heard yet') : say('last answer {time} ago', { time: age });
  switch (condition(snapshot, since, connected, told)) {
    case 'disconnected':
      return say('Connection lost. This is how it stood.');
    case 'signed-out':
      return say('You are signed out. This is how it stood.');
    case 'late':
      return say('Waiting for our turn to look, {time} late. The delay is on our side.', {
        time: duration(lateness(snapshot, since)),
      });
    case 'retrying':
      return join(say('No answer, asking again'), say('tries: {count}', { count: snapshot.misses }), heard);
    case 'quiet':
    case 'stalled':
      if (snapshot.state === 'pending') return say('Still waiting after {time}', { time: age });
      return join(
        snapshot.state === 'cancelling' ? say('Still cancelling') : say('Still going'),
        heard,
        snapshot.stalled && say('no movement for {time}', { time: duration(ago(snapshot, since, 'moved')) }),
      );
  }
  if (snapshot.state === 'failed') return `${STATES.failed}. ${REASONS[snapshot.error?.code ?? ''] ?? ''}`.trim();
  return STATES[snapshot.state];
}

/**
 * What the service says, in its own words: why it failed, or what is going on.
 *
 * @param {Snapshot} snapshot
 */
export function message({ state, error, message: said }) {
  return state === 'failed' ? error?.message || said || say('No reason was given.') : said;
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
    const words = now.state === 'running' ? say('Started') : now.complete ? status(now, 0, true) : STATES[now.state];
    return `${now.title}: ${words}${now.state === 'failed' ? ` ${message(now)}` : ''}`;
  }
  const quarter = Math.floor(now.progress / 25);
  return before && quarter > Math.floor(before.progress / 25) ? `${now.title}: ${percent(quarter * 25)}` : '';
}
