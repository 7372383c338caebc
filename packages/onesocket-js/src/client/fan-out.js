// Delivers each message to all readers, and isolates their errors.

import { InvalidOption } from '../errors.js';
import { Gap, mergeGaps } from './gap.js';
import { GapReason } from '../lifecycle/table.js';
import { Subscription } from './subscription.js';

const MAX_EARLY = 1024;

/** Delivers messages and gaps to subscriptions and callbacks; those before the first reader of everything wait. */
export class FanOut {
  #readers = new Set();
  #early = [];
  #earlyDropped = 0;
  #keepsEarly = true;
  #failure = null;
  #isEnded = false;
  epoch = 0;
  delivered = 0;
  overflows = 0;
  callbackErrors = 0;

  /** `eventOf`: the name of a message's event, null: the protocol knows none; `report(error)`: of a callback. */
  constructor({ eventOf, report }) {
    this.eventOf = eventOf;
    this.report = report;
  }

  get subscribers() {
    return this.#readers.size;
  }

  /** Length of the longest queue. */
  get inbox() {
    return Math.max(0, ...[...this.#readers].map((reader) => reader.queue?.size ?? 0));
  }

  get dropped() {
    let sum = 0;
    for (const { queue } of this.#readers) sum += queue?.dropped ?? 0;
    return sum;
  }

  /** Returns a stream; see `Client.subscribe`. */
  subscribe(event, { where = null, limit, overflow, gaps = true, raiseOnFailure = true } = {}) {
    this.#checkEvent(event);
    const reader = { event, where, gaps, raises: raiseOnFailure, queue: null, call: null };
    const options = { limit, overflow, marksGaps: gaps };
    const subscription = new Subscription(options, () => this.#readers.delete(reader));
    reader.queue = subscription.queue;
    reader.queue.epoch = this.epoch;
    if (this.#isEnded) reader.queue.end();
    this.#add(reader);
    if (this.#failure !== null && raiseOnFailure) {
      reader.queue.raise(this.#failure);
      this.#failure = null;
    }
    return subscription;
  }

  /** Calls `call` with each message; returns the function that ends that. */
  on(event, call, { where = null, gaps = false } = {}) {
    this.#checkEvent(event);
    if (typeof call !== 'function') throw new InvalidOption('on() takes a function that is called with each message');
    const reader = { event, where, gaps, raises: false, queue: null, call };
    this.#add(reader);
    return () => {
      this.#readers.delete(reader);
    };
  }

  /** Ends the callbacks with this function. */
  off(call) {
    for (const reader of this.#readers) if (reader.call === call) this.#readers.delete(reader);
  }

  #checkEvent(event) {
    if (event !== null && this.eventOf === null) {
      throw new InvalidOption('this protocol knows no event names: give it event, such as new Json({event: "type"})');
    }
  }

  #add(reader) {
    if (this.#isEnded) return;
    this.#readers.add(reader);
    const takesAll = reader.event === null && reader.where === null;
    if (this.#keepsEarly) {
      if (takesAll && this.#earlyDropped > 0) {
        this.#deliver(reader, new Gap(GapReason.OVERFLOW, { epoch: this.epoch, missed: this.#earlyDropped }));
      }
      for (const { item, event } of this.#early) this.#offer(reader, item, event);
    }
    if (takesAll) {
      this.#keepsEarly = false;
      this.#early = [];
    }
  }

  /** Returns the name of a message's event; null: there is none, or the protocol's function fails on it. */
  nameOf(message) {
    try {
      return this.eventOf?.(message) ?? null;
    } catch (error) {
      this.#reportError(error);
      return null;
    }
  }

  /** Delivers a message, which is of this event. */
  publish(message, event = this.nameOf(message)) {
    this.delivered += 1;
    this.#keep(message, event);
    this.#offerAll(message, event);
  }

  /** Offers an item to the readers of this moment, but to none that one before it has removed. */
  #offerAll(item, event) {
    for (const reader of [...this.#readers]) if (this.#readers.has(reader)) this.#offer(reader, item, event);
  }

  /** Delivers a gap to all readers that take them. */
  announce(gap) {
    this.#keep(gap, null);
    this.#offerAll(gap, null);
  }

  #keep(item, event) {
    if (!this.#keepsEarly) return;
    const last = this.#early.at(-1);
    if (item instanceof Gap && last?.item instanceof Gap) last.item = mergeGaps(last.item, item);
    else this.#early.push({ item, event });
    if (this.#early.length > MAX_EARLY) {
      this.#early.shift();
      this.#earlyDropped += 1;
    }
  }

  #offer(reader, item, event) {
    if (item instanceof Gap) {
      if (reader.gaps) this.#deliver(reader, item);
      return;
    }
    if (reader.event !== null && event !== reader.event) return;
    try {
      if (reader.where !== null && !reader.where(item)) return;
    } catch (error) {
      this.#reportError(error);
      return;
    }
    this.#deliver(reader, item);
  }

  #deliver(reader, item) {
    if (reader.queue !== null) {
      if (!reader.queue.put(item)) this.overflows += 1;
      return;
    }
    try {
      const result = reader.call(item);
      // A promise is not awaited before the next message: JavaScript's habit; what it rejects with is reported.
      if (typeof result?.then === 'function') result.then(null, (error) => this.#reportError(error));
    } catch (error) {
      this.#reportError(error);
    }
  }

  #reportError(error) {
    this.callbackErrors += 1;
    this.report(error);
  }

  /** The connection with this epoch is ready: what comes next is from it. */
  ready(epoch) {
    this.epoch = epoch;
    for (const { queue } of this.#readers) if (queue !== null) queue.epoch = epoch;
  }

  /** The client has failed: raises the error in the readers, or in the first one to come. */
  fail(error) {
    const raising = [...this.#readers].filter((reader) => reader.raises);
    for (const { queue } of raising) queue.raise(error);
    if (raising.length === 0) this.#failure = error;
  }

  /** Another attempt has begun. */
  forgetFailure() {
    this.#failure = null;
    for (const { queue } of this.#readers) queue?.forgetError();
  }

  /** Ends all streams: the client is closed. */
  end() {
    for (const { queue } of this.#readers) queue?.end();
    this.#readers.clear();
    this.#early = [];
    this.#keepsEarly = false;
    this.#isEnded = true;
  }
}
