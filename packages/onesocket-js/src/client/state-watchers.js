// Watchers of the state: streams and functions that get every change, in order.

import { ClientClosed, InvalidOption, WaitTimeout } from '../errors.js';
import { State } from '../lifecycle/table.js';
import { checkSeconds } from './options.js';
import { Subscription } from './subscription.js';

// Changes are few; a reader that lets so many pile up gets SlowConsumer instead of missing one.
const LIMIT = 10_000;
const STATES = Object.values(State);

export class StateWatchers {
  #report;
  #watchers = new Set();
  #isClosed = false;

  /** `report(error)`: of a watcher. */
  constructor(report) {
    this.#report = report;
  }

  /** Calls the watchers; CLOSED is the last change. */
  tell(change) {
    this.#isClosed = change.new === State.CLOSED;
    for (const watcher of [...this.#watchers]) {
      try {
        if (this.#watchers.has(watcher)) watcher.call(change); // else one before it has removed it
      } catch (error) {
        this.#report(error);
      }
    }
    if (this.#isClosed) this.#watchers.clear();
  }

  /** Calls a function with each change; returns the function that ends that. */
  add(call) {
    if (typeof call !== 'function') throw new InvalidOption('onChange() takes a function');
    const watcher = { call }; // the same function may be added twice
    if (!this.#isClosed) this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** Returns a stream of every change from now on, which ends after CLOSED. */
  stream() {
    const subscription = new Subscription({ limit: LIMIT, marksGaps: false }, () => remove());
    const { queue } = subscription;
    const remove = this.add((change) => {
      queue.put(change);
      if (change.new === State.CLOSED) queue.end();
    });
    if (this.#isClosed) queue.end();
    return subscription;
  }

  /** Resolves in one of these states, at once if `now()` is one of them. Rejects with `WaitTimeout`, or `ClientClosed`. */
  async waitFor(states, { timeout = null, now, platform }) {
    const wanted = [states].flat();
    const unknown = wanted.find((state) => !STATES.includes(state));
    if (unknown !== undefined || wanted.length === 0) {
      throw new InvalidOption(`waitFor() takes a State, or several, not ${unknown}`);
    }
    if (timeout !== null) checkSeconds('timeout', timeout);
    if (wanted.includes(now())) return now();
    const closed = () => new ClientClosed(`it was closed, and so can't become ${wanted.join(' or ')} any more`);
    if (this.#isClosed) throw closed();
    return new Promise((resolve, reject) => {
      const end = (settle, value) => {
        stop();
        cancel?.();
        settle(value);
      };
      const stop = this.add((change) => {
        if (wanted.includes(change.new)) end(resolve, change.new);
        else if (change.new === State.CLOSED) end(reject, closed());
      });
      const late = () => end(reject, new WaitTimeout(`not ${wanted.join(' or ')} within ${timeout} s: ${now()}`));
      const cancel = timeout === null ? null : platform.setTimer(timeout, late);
    });
  }
}
