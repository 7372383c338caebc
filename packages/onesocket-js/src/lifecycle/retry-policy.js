// When to try again: the policy for an established connection that was lost. Pure: chance and time are arguments.

import { ConnectionRefused, InvalidOption } from '../errors.js';
import { LIMITS, POLICY_DEFAULTS, Verdict } from './table.js';
import { verdictOf } from './verdict.js';

const SECONDS = ['initial', 'cap', 'unreachableCap', 'stableAfter', 'busyDelay', 'retryAfterCap'];

/** Back-off for resuming a connection that was lost: exponential, with jitter and caps. All times are seconds. */
export class ReconnectPolicy {
  constructor(options = {}) {
    for (const name of Object.keys(options)) {
      if (!(name in POLICY_DEFAULTS)) throw new InvalidOption(`ReconnectPolicy has no option ${name}`);
    }
    Object.assign(this, POLICY_DEFAULTS, options);
    for (const name of SECONDS) {
      if (!Number.isFinite(this[name]) || this[name] < 0) {
        throw new InvalidOption(`ReconnectPolicy: ${name} must be a number of seconds >= 0, not ${this[name]}`);
      }
    }
    if (!Number.isFinite(this.factor) || this.factor < 1) {
      throw new InvalidOption(`ReconnectPolicy: factor must be a number >= 1, not ${this.factor}`);
    }
    if (this.maxAttempts !== null && (!Number.isInteger(this.maxAttempts) || this.maxAttempts < 1)) {
      throw new InvalidOption(`ReconnectPolicy: maxAttempts must be a whole number >= 1 or null, not ${this.maxAttempts}`);
    }
    if (typeof this.first !== 'boolean') {
      throw new InvalidOption(`ReconnectPolicy: first must be true or false, not ${this.first}`);
    }
    if (this.verdict !== null && typeof this.verdict !== 'function') {
      throw new InvalidOption('ReconnectPolicy: verdict must be a function or null');
    }
    Object.freeze(this);
  }

  /** Returns the seconds to wait after the `failures`-th failure in a row; `jitter` is random, in [0, 1). */
  delay(failures, error, jitter, away = Infinity, verdict = null) {
    const isSlow = (verdict ?? verdictOf(error)) === Verdict.SLOW;
    const isUnreachable = error instanceof ConnectionRefused;
    let named = error.retryAfter;
    if (isSlow && named === null) {
      return Math.min(this.busyDelay * (1 + jitter), Math.max(this.cap, this.busyDelay));
    }
    if (named !== null && !error.backsOff) return named;
    const backOff = failures <= 1 ? 0 : (this.#ceiling(failures - 2, away, isUnreachable) * (1 + jitter)) / 2;
    if (named === null) return backOff;
    named = Math.min(named, this.retryAfterCap);
    return Math.max(backOff, named + jitter * Math.min(LIMITS.retryAfterJitter * named, this.cap));
  }

  /** True if there is no further attempt after this many failures in a row. */
  exhausted(failures) {
    return this.maxAttempts !== null && failures >= this.maxAttempts;
  }

  #ceiling(exponent, away, isUnreachable) {
    const grown = this.initial * this.factor ** exponent;
    const cap = isUnreachable ? Math.min(this.cap, Math.max(this.unreachableCap, this.initial)) : this.cap;
    return Math.min(grown, cap, this.initial + LIMITS.downtimeFraction * away);
  }
}
