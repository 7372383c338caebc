// Finds a connection that is open, but silent.

import { SilenceTimeout } from '../errors.js';

/** Fraction of `silenceTimeout` after which the time of the last message is looked at again. */
const LOOK = 0.25;

/** Fails a connection on which no message comes for `silenceTimeout` seconds; null: none. */
export class SilenceWatch {
  #seconds;
  #platform;
  #cancel = null;
  #activeAt = 0;

  constructor({ silenceTimeout, platform }) {
    this.#seconds = silenceTimeout;
    this.#platform = platform;
  }

  /** A message has come. */
  heard() {
    this.#activeAt = this.#platform.now();
  }

  /** Watches this connection from now on. */
  begin(attempt) {
    this.stop();
    if (this.#seconds === null) return;
    this.heard();
    this.#lookIn(this.#seconds, attempt);
  }

  #lookIn(seconds, attempt) {
    this.#cancel = this.#platform.setTimer(seconds, () => {
      const silent = this.#platform.now() - this.#activeAt;
      if (silent < this.#seconds) this.#lookIn(Math.max(this.#seconds - silent, this.#seconds * LOOK), attempt);
      else attempt.fail(new SilenceTimeout(`no message came for ${this.#seconds} s: the connection is open, but silent`));
    });
  }

  /** The connection is down. */
  stop() {
    this.#cancel?.();
    this.#cancel = null;
  }
}
