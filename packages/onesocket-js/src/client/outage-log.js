// Logs the losses of a connection, and their outcomes: to the console, unless `logger` is another or null.

import { State } from '../lifecycle/table.js';

export class OutageLog {
  #logger;
  #url;
  #retryIn;
  #isOut = false;
  #lastReason = null;

  constructor(logger, url, retryIn) {
    this.#logger = logger;
    this.#url = url;
    this.#retryIn = retryIn;
  }

  changed({ old, new: state, epoch, error }) {
    if (this.#logger === null) return;
    if (old === State.CONNECTED && error !== null) this.#isOut = true;
    if (!this.#isOut) return;
    if (state === State.CONNECTED) {
      this.#logger.info(`onesocket: ${this.#url} is up again (epoch ${epoch})`);
      this.#isOut = false;
      this.#lastReason = null;
    } else if (state === State.BACKING_OFF && error?.message !== this.#lastReason) {
      this.#lastReason = error?.message ?? null; // a reason is told once in an outage
      this.#logger.warn(`onesocket: ${this.#url}: ${error}; next attempt in ${(this.#retryIn() ?? 0).toFixed(1)} s`);
    } else if (state === State.FAILED) {
      this.#logger.error(`onesocket: ${this.#url} was given up: ${error}`);
      this.#isOut = false;
    }
  }
}
