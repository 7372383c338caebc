// The fate of one message that was accepted for sending.

/**
 * Fate of one message, returned by `sendNowait()`: await it, read `done` and `error`, or ignore it.
 *
 * One that fails while it is not awaited goes to `onError`.
 */
export class Delivery {
  /** True once the fate is known. */
  done = false;
  /** Reason for which it was not, or may not have been, sent; null: there is none. */
  error = null;
  /** True if sending it twice does no harm. */
  resend;
  /** True if it waits for the connection as long as that takes. */
  isLasting;
  #make;
  #options;
  #waiters = [];
  #onDone;
  #earlierUnknown = null;

  /** `make()` returns the frame; `onDone(delivery)` is called when the fate is known. */
  constructor(make, { resend = false, isLasting = false, onDone = null } = {}) {
    this.#make = make;
    this.#options = { resend, isLasting, onDone };
    this.#onDone = onDone;
    this.resend = resend;
    this.isLasting = isLasting;
  }

  /** Makes the frame: a request gets its id only when it is sent. */
  makeFrame() {
    return this.#make();
  }

  /** Returns a delivery of the same message, to be sent once more. */
  again() {
    return new Delivery(this.#make, this.#options);
  }

  /** True if a caller gets the fate. */
  get isAwaited() {
    return this.#waiters.length > 0 || this.#onDone !== null;
  }

  /** Notes that a copy may have arrived, and is being sent again. */
  noteUnknown(error) {
    this.#earlierUnknown ??= error;
  }

  /** Sets the fate. That of a copy that was not sent is the one of the earlier copy. */
  settle(error = null) {
    if (this.done) return;
    this.done = true;
    this.error = error;
    if (error !== null && this.#earlierUnknown !== null && error !== this.#earlierUnknown) {
      this.error = this.#earlierUnknown;
      this.error.cause = error;
    }
    for (const { resolve, reject } of this.#waiters) {
      if (this.error === null) resolve();
      else reject(this.error.copy());
    }
    this.#onDone?.(this);
  }

  /** Waits as `send()` does: with a `DurableOutbox` until the message is on disk; else, and in a tab, until it is done. */
  accepted() {
    return this.then();
  }

  /** Makes it awaitable: resolves when the browser has written the message, rejects with `error`. */
  then(onSent, onFailed) {
    const promise = new Promise((resolve, reject) => {
      if (!this.done) this.#waiters.push({ resolve, reject });
      else if (this.error === null) resolve();
      else reject(this.error.copy());
    });
    return promise.then(onSent, onFailed);
  }
}
