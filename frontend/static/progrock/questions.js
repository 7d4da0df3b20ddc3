// @ts-check
// The questions on their way: each has an answer to come, and is sent again when its connection dies.

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
  constructor(code, message) {
    super(message);
    this.name = 'ProgRockError';
    this.code = code;
  }
}

/** Every action is idempotent (`start` by its key), so that sending again is always right. */
export class Questions {
  #count = 0;
  /** When the last one had its answer. */ #settled = 0;
  /** @type {Map<string, Question>} by ref */ #open = new Map();
  /** @type {(frame: Frame) => void} */ #send;
  /** @type {() => number} */ #now;

  /** @param {(frame: Frame) => void} send @param {() => number} now */
  constructor(send, now) {
    this.#send = send;
    this.#now = now;
  }

  /**
   * @param {Frame} frame
   * @param {boolean} connected else it goes out with `resend`
   * @returns {Promise<any>}
   */
  ask(frame, connected) {
    const ref = `r${++this.#count}`;
    /** @type {(answer: any) => void} */ let resolve = () => {};
    /** @type {(error: ProgRockError) => void} */ let reject = resolve;
    const answer = new Promise((...ends) => ([resolve, reject] = ends));
    /** @type {Question} */
    const question = { frame: { ...frame, ref }, sent: null, answer, resolve, reject };
    this.#open.set(ref, question);
    if (connected) this.#put(question);
    return answer;
  }

  /** There is a new connection: everything again. */
  resend() {
    for (const question of this.#open.values()) this.#put(question);
  }

  /** The connection is gone. */
  lost() {
    for (const question of this.#open.values()) question.sent = null;
  }

  /** @param {string} action @param {string} [about] @returns {Question | undefined} the one that asks that of a job, or a channel */
  find(action, about) {
    for (const question of this.#open.values()) {
      if (question.frame.action === action && (question.frame.channel ?? question.frame.job) === about) return question;
    }
  }

  /**
   * Whether one has been waiting for too long. Where many wait, and others have their answers, that is five times as long.
   *
   * @param {number} patience in ms
   */
  overdue(patience) {
    const now = this.#now();
    const most = now - this.#settled > patience ? patience : 5 * patience;
    return [...this.#open.values()].some(({ sent }) => sent !== null && now - sent > most);
  }

  /** @param {unknown} ref @returns {Question | undefined} */
  get(ref) {
    return typeof ref === 'string' ? this.#open.get(ref) : undefined;
  }

  /** It has its answer. @param {Question} question */
  settle({ frame }) {
    this.#open.delete(String(frame.ref));
    this.#settled = this.#now();
  }

  /** Nobody wants to know any more. @param {(frame: Frame) => boolean} which @param {ProgRockError} error */
  abandon(which, error) {
    for (const question of this.#open.values()) {
      if (!which(question.frame)) continue;
      this.settle(question);
      question.reject(error);
    }
  }

  /** @param {Question} question */
  #put(question) {
    question.sent = this.#now();
    this.#send(question.frame);
  }
}
