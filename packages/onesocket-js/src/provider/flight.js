// One run from `auth` to the open connection, which all callers of a provider share.

/** Another login took the place of this run: its callers join that one. */
export class Superseded extends Error {}

/** One run, with its callers. */
export class Flight {
  #controller = new AbortController();
  #callers = 0;
  #reject;
  #promise;
  isOver = false;
  isDialling = false;
  isSuperseded = false;

  /** `run(flight)` is called at once. `identity`: of a `login()`, null: `auth` is asked. */
  constructor(run, { identity = null, byLogin = false, isDetached = false } = {}) {
    this.identity = identity;
    this.byLogin = byLogin;
    this.isDetached = isDetached;
    const over = new Promise((_, reject) => {
      this.#reject = reject;
    });
    const result = run(this);
    this.#promise = Promise.race([result, over]).finally(() => {
      this.isOver = true;
    });
    // All callers may have been withdrawn.
    for (const promise of [this.#promise, result, over]) promise.catch(() => {});
  }

  /** Withdraws the run's own call of `connect()`. */
  get signal() {
    return this.#controller.signal;
  }

  get callers() {
    return this.#callers;
  }

  /** Ends the run for all its callers with this error. */
  abort(error) {
    this.isOver = true;
    this.#reject(error);
    this.#controller.abort(error);
  }

  /** Returns a promise of the result; `signal` withdraws this caller alone, and the run with the last one. */
  join(signal) {
    this.#callers += 1;
    if (!signal) return this.#promise;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#callers -= 1;
        if (this.#callers === 0 && !this.isDetached) this.abort(signal.reason);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  }
}
