// The bounded queue behind one reader's stream, with its named overflow rule.

import { InvalidOption, SlowConsumer } from '../errors.js';
import { GapReason, LIMITS, Overflow } from '../lifecycle/table.js';
import { Gap, mergeGaps } from './gap.js';

/** Checks a number of messages that may wait. Throws `InvalidOption`. */
export function checkLimit(limit) {
  if (!Number.isInteger(limit) || limit < 1) {
    throw new InvalidOption(`limit must be a whole number of messages, at least 1, not ${limit}`);
  }
  return limit;
}

/** Checks the name of an overflow rule. Throws `InvalidOption`. */
export function checkOverflow(overflow) {
  if (overflow === 'wait') {
    throw new InvalidOption('overflow "wait" is not possible: a browser goes on reading the socket');
  }
  if (!Object.values(Overflow).includes(overflow)) {
    throw new InvalidOption(`overflow must be "fail" or "drop_oldest", not ${overflow}`);
  }
  return overflow;
}

const isLoss = (item) => item instanceof Gap && item.reason === GapReason.RECONNECTED;

/** Bounded queue between the fan-out and one reader. */
export class Queue {
  #items = [];
  #head = 0;
  #waiters = [];
  #unmarked = 0;
  #keptGap = null;
  #isEnded = false;
  #error = null;
  #refusals = [];
  /** Number of messages that were dropped. */
  dropped = 0;
  epoch = 0;

  constructor({ limit = LIMITS.queue, overflow = Overflow.FAIL, marksGaps = true } = {}) {
    this.limit = checkLimit(limit);
    this.overflow = checkOverflow(overflow);
    this.marksGaps = marksGaps;
  }

  /** Number of messages and gaps that wait. */
  get size() {
    return this.#items.length - this.#head;
  }

  /** Queues a message or a gap; returns false if something was dropped, or the reader ended, for want of room. */
  put(item) {
    if (this.#isEnded) return true;
    const waiter = this.#waiters.shift();
    if (waiter) {
      waiter.resolve({ value: item, done: false });
      return true;
    }
    const last = this.size > 0 ? this.#items.at(-1) : null;
    if (isLoss(item) && isLoss(last)) {
      this.#items[this.#items.length - 1] = mergeGaps(last, item); // of a reader that does not read, over many losses
      return true;
    }
    const hasRoom = this.size < this.limit;
    if (!hasRoom && this.overflow === Overflow.FAIL) {
      this.fail(new SlowConsumer(`a reader has fallen ${this.limit} messages behind, its limit`));
      return false;
    }
    if (!hasRoom) this.#dropOldest();
    this.#items.push(item);
    return hasRoom;
  }

  #dropOldest() {
    const oldest = this.#take();
    if (oldest instanceof Gap) {
      this.#keptGap = this.#keptGap === null ? oldest : mergeGaps(this.#keptGap, oldest);
      return;
    }
    this.dropped += 1;
    this.#unmarked += Number(this.marksGaps);
  }

  /** Returns a promise of the next `{value, done}`, as an iterator does; it rejects with the error of the reader. */
  next() {
    if (this.#refusals.length > 0) return Promise.reject(this.#refusals.shift());
    if (this.#unmarked > 0) {
      const gap = new Gap(GapReason.OVERFLOW, { epoch: this.epoch, missed: this.#unmarked });
      this.#unmarked = 0;
      return Promise.resolve({ value: gap, done: false });
    }
    if (this.#keptGap !== null) {
      const gap = this.#keptGap;
      this.#keptGap = null;
      return Promise.resolve({ value: gap, done: false });
    }
    if (this.size > 0) return Promise.resolve({ value: this.#take(), done: false });
    if (this.#error !== null) {
      const error = this.#error;
      this.#error = null; // once
      return Promise.reject(error.copy?.() ?? error);
    }
    if (this.#isEnded) return Promise.resolve({ value: undefined, done: true });
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
    });
  }

  /** Ends the stream with this error, after the messages that wait. */
  fail(error) {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const waiter = this.#waiters.shift();
    if (waiter) waiter.reject(error.copy?.() ?? error);
    else this.#error = error;
    this.#endWaiters();
  }

  /** Ends the stream, after the messages that wait. */
  end() {
    this.#isEnded = true;
    this.#endWaiters();
  }

  /** Ends the stream at once. */
  clear() {
    this.#items = [];
    this.#head = 0;
    this.#unmarked = 0;
    this.#keptGap = null;
    this.#error = null;
    this.#refusals = [];
    this.end();
  }

  /** Raises the error in the reader, once; the stream goes on. */
  raise(error) {
    if (this.#isEnded) return;
    const waiter = this.#waiters.shift();
    if (waiter) waiter.reject(error.copy());
    else this.#error = error;
  }

  /** Raises the error in the reader, before the messages that wait; the stream goes on. */
  refuse(error) {
    if (this.#isEnded) return;
    const waiter = this.#waiters.shift();
    if (waiter) waiter.reject(error);
    else this.#refusals.push(error);
  }

  /** True if no more is queued. */
  get isEnded() {
    return this.#isEnded;
  }

  /** Forgets an error that no reader has seen: another attempt has begun. */
  forgetError() {
    if (!this.#isEnded) this.#error = null;
  }

  #take() {
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  #endWaiters() {
    for (const { resolve } of this.#waiters.splice(0)) resolve({ value: undefined, done: true });
  }
}
