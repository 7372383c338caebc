// Messages that wait for the connection: bounded in number and age; it refuses, and never drops in silence. Pure.

import { InvalidOption, OutboxFull } from '../errors.js';
import { OUTBOX_DEFAULTS } from './table.js';

/** How many messages may wait for the connection, and for how many seconds. */
export class OutboxLimits {
  constructor({ messages = OUTBOX_DEFAULTS.messages, age = OUTBOX_DEFAULTS.age } = {}) {
    if (!Number.isInteger(messages) || messages < 0) {
      throw new InvalidOption(`OutboxLimits: messages must be a whole number >= 0, not ${messages}`);
    }
    if (typeof age !== 'number' || !(age > 0)) {
      throw new InvalidOption(`OutboxLimits: age must be a number of seconds > 0, not ${age}`);
    }
    this.messages = messages;
    this.age = age;
    Object.freeze(this);
  }
}

/**
 * First in, first out, in two queues: messages that go first on a new connection, and the others.
 *
 * Each of its messages was accepted: it leaves by `take`, `takeExpired` or `discard`.
 */
export class Outbox {
  #first = [];
  #waiting = [];

  constructor(limits) {
    this.limits = limits;
  }

  /** Number of messages that wait. */
  get size() {
    return this.#first.length + this.#waiting.length;
  }

  /** Accepts `item`; throws `OutboxFull` when there is no room, unless it `isLasting`. */
  put(item, now, { first = false, isLasting = false } = {}) {
    if (this.size >= this.limits.messages && !isLasting) {
      throw new OutboxFull(
        `${this.size} messages wait for the connection already, which is the limit (outbox); ` +
          'wait until it is back, or await send() instead of calling sendNowait() in a loop',
      );
    }
    (first ? this.#first : this.#waiting).push({ expires: isLasting ? Infinity : now + this.limits.age, item });
  }

  /** Returns the next message, which stays; undefined: there is none. */
  peek() {
    return this.#next[0]?.item;
  }

  /** Removes and returns the next message. */
  take() {
    return this.#next.shift()?.item;
  }

  /** Puts a message back in front of all others: it was taken, and is to be sent again. */
  putBack(item, now, { isLasting = false } = {}) {
    this.#first.unshift({ expires: isLasting ? Infinity : now + this.limits.age, item });
  }

  /** Withdraws a message; false: it isn't here any more. */
  discard(item) {
    for (const queue of [this.#first, this.#waiting]) {
      const place = queue.findIndex((entry) => entry.item === item);
      if (place >= 0) {
        queue.splice(place, 1);
        return true;
      }
    }
    return false;
  }

  /** Removes and returns everything whose time is up. */
  takeExpired(now) {
    const gone = [];
    const keep = (entry) => entry.expires > now || !gone.push(entry.item);
    this.#first = this.#first.filter(keep);
    this.#waiting = this.#waiting.filter(keep);
    return gone;
  }

  /** Returns when the next message expires, on the clock behind `now`; Infinity: none does. */
  nextExpiry() {
    const oldest = this.#waiting.find(({ expires }) => expires !== Infinity); // lasting ones may stand before it
    return Math.min(Infinity, ...this.#first.map(({ expires }) => expires), oldest?.expires ?? Infinity);
  }

  get #next() {
    return this.#first.length > 0 ? this.#first : this.#waiting;
  }
}
