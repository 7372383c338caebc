// Finds a connection that is open, but silent.

import { SilenceTimeout } from '../errors.js';

/** Fraction of `silenceTimeout` after which the time of the last message is looked at again. */
const LOOK = 0.25;
/** Seconds: a look that comes later proves nothing at first, as the page was busy or frozen, and messages may wait. */
const LATE = 0.25;

/**
 * Fails a connection on which no message comes for `silenceTimeout` seconds, or none that `silenceOf` is true of; null: none.
 * `report(error)`: of `silenceOf`, once.
 */
export class SilenceWatch {
  #seconds;
  #isNamed;
  #platform;
  #report;
  #cancel = null;
  #activeAt = 0;
  #isExcused = false;

  constructor({ silenceTimeout, silenceOf, platform }, report) {
    this.#seconds = silenceTimeout;
    this.#isNamed = silenceOf;
    this.#platform = platform;
    this.#report = report;
  }

  /** A frame has come. */
  heard() {
    if (this.#isNamed === null) this.#note();
  }

  /** A message has come. */
  received(message) {
    if (this.#isNamed === null) return;
    try {
      if (this.#isNamed(message)) this.#note();
    } catch (error) {
      this.#report?.(error);
      this.#report = null;
    }
  }

  #note() {
    this.#activeAt = this.#platform.now();
    this.#isExcused = false;
  }

  /** Watches this connection from now on. */
  begin(attempt) {
    this.stop();
    if (this.#seconds === null) return;
    this.#note();
    this.#lookIn(this.#seconds, attempt);
  }

  #lookIn(seconds, attempt) {
    const due = this.#platform.now() + seconds;
    this.#cancel = this.#platform.setTimer(seconds, () => {
      const now = this.#platform.now();
      const silent = now - this.#activeAt;
      if (silent < this.#seconds) {
        this.#lookIn(Math.max(this.#seconds - silent, this.#seconds * LOOK), attempt);
      } else if (now - due >= LATE && !this.#isExcused) {
        this.#isExcused = true;
        this.#lookIn(Math.min(LATE, this.#seconds), attempt);
      } else {
        const which = this.#isNamed === null ? 'no message' : 'no message that silenceOf names';
        attempt.fail(new SilenceTimeout(`${which} came for ${this.#seconds} s: the connection is open, but silent`));
      }
    });
  }

  /** The connection is down. */
  stop() {
    this.#cancel?.();
    this.#cancel = null;
  }
}
