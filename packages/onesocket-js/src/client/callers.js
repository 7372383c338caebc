// The callers of one client that wait: for the outcome of an attempt, for the end of a connection, or for a date.

import { Outcome } from '../lifecycle/table.js';

export class Callers {
  #callers = new Map();
  #closers = [];
  #changed = new Set();
  /** Number of calls that had each outcome. */
  outcomes = Object.fromEntries(Object.values(Outcome).map((outcome) => [outcome, 0]));

  /** Number of `connect()` calls that wait. */
  get size() {
    return this.#callers.size;
  }

  /** Returns `{promise, id}` for a caller; `retries`: it waits through failures. */
  add(outcome, retries) {
    const id = Symbol('caller');
    const promise = new Promise((resolve, reject) => {
      this.#callers.set(id, { outcome, retries, resolve, reject });
    });
    return { promise, id };
  }

  /** Removes a caller that gave up; returns `{retries}`, or undefined if its outcome has come. */
  remove(id, reason) {
    const caller = this.#callers.get(id);
    if (this.#callers.delete(id)) caller.reject(reason);
    return caller;
  }

  /** Returns a promise of the end of the connection. */
  waitForEnd() {
    return new Promise((resolve) => {
      this.#closers.push(resolve);
    });
  }

  resolveAll() {
    for (const { outcome, resolve } of this.#callers.values()) {
      this.outcomes[outcome] += 1;
      resolve(outcome);
    }
    this.#callers.clear();
  }

  /** Raises the error in all callers, or in those that don't wait through failures. */
  rejectAll(error, { sparesRetrying }) {
    for (const [id, { retries, reject }] of [...this.#callers]) {
      if (sparesRetrying && retries) continue;
      this.#callers.delete(id);
      reject(error.copy());
    }
  }

  releaseClosers() {
    for (const resolve of this.#closers.splice(0)) resolve();
  }

  /** Resolves after so many seconds, or at the next change of the state. */
  waitForChange(seconds, platform) {
    return new Promise((resolve) => {
      const cancel = platform.setTimer(seconds, () => {
        this.#changed.delete(done);
        resolve();
      });
      const done = () => {
        cancel();
        resolve();
      };
      this.#changed.add(done);
    });
  }

  onChange() {
    for (const done of [...this.#changed]) done();
    this.#changed.clear();
  }
}
