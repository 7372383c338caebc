// Delivers each message to all readers, and isolates their errors.

import { InvalidOption } from '../errors.js';
import { EarlyMessages } from './early-messages.js';
import { Gap } from './gap.js';
import { checkKeys } from '../protocols/subscriptions.js';
import { Subscription } from './subscription.js';

const NO_KEYS = Object.freeze([]);

const isOfEvent = (reader, { event }) => reader.event === null || reader.event === event;
/** True if a message is what a reader selects by event and keys; null: it is a gap. */
const isAbout = (reader, about) =>
  about === null || (isOfEvent(reader, about) && (reader.keys === null || about.keys.some((key) => reader.keys.includes(key))));

/** Delivers messages and gaps to subscriptions and callbacks; those before the first reader of everything wait. */
export class FanOut {
  #readers = new Set();
  #early = new EarlyMessages();
  #failure = null;
  #isEnded = false;
  /** Readers of all keys, and those of each key. */
  #open = [];
  #byKey = new Map();
  #keys = null;
  #keeper = null;
  #beginLate = null;
  #keysOf;
  epoch = 0;
  delivered = 0;
  overflows = 0;
  callbackErrors = 0;

  /**
   * `eventOf`: the name of a message's event, null: the protocol knows none; `report(error)`: of a callback. `keysOf(message)`:
   * the keys by which readers of them are found.
   */
  constructor({ eventOf, report, keysOf = () => [] }) {
    this.#keysOf = keysOf;
    this.eventOf = eventOf;
    this.report = report;
  }

  /** Has the keys of readers subscribed to: by `keys.add(reader, keys)` and `keys.drop(reader)`; `reader.refused` takes errors. */
  useKeys(keys) {
    this.#keys = keys;
  }

  /** `keeper` keeps what late readers begin with (null: it is elsewhere); `beginLate(add)` has it added for a late reader. */
  useSnapshots(keeper, beginLate) {
    this.#keeper = keeper;
    this.#beginLate = beginLate;
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
  subscribe(event, { where = null, keys = null, limit, overflow, gaps = true, raiseOnFailure = true } = {}) {
    const reader = this.#makeReader({ event, where, keys, gaps, raises: raiseOnFailure, call: null });
    const options = { limit, overflow, marksGaps: gaps };
    const subscription = new Subscription(options, () => this.#remove(reader));
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
  on(event, call, { where = null, keys = null, gaps = false } = {}) {
    if (typeof call !== 'function') throw new InvalidOption('on() takes a function that is called with each message');
    const reader = this.#makeReader({ event, where, keys, gaps, raises: false, call });
    this.#add(reader);
    return () => this.#remove(reader);
  }

  /** Ends the callbacks with this function. */
  off(call) {
    for (const reader of this.#readers) if (reader.call === call) this.#remove(reader);
  }

  #makeReader({ event, keys, ...rest }) {
    this.#checkEvent(event);
    const wanted = keys === null ? null : checkKeys(keys);
    if (wanted !== null) this.checkKeys();
    const refused = (error) => (reader.queue === null ? this.#reportError(error) : reader.queue.refuse(error));
    const reader = { event, queue: null, keys: wanted?.length > 0 ? wanted : null, refused, isGone: false, ...rest };
    return reader;
  }

  /** Throws `InvalidOption` if the protocol knows no keys. */
  checkKeys() {
    if (this.#keys === null) {
      throw new InvalidOption(
        'keys needs a protocol that describes its subscriptions, with their key: new Json({subscriptions: new Subscriptions({…})})',
      );
    }
  }

  #remove(reader) {
    if (reader.isGone) return;
    reader.isGone = true;
    this.#readers.delete(reader);
    this.#open = this.#open.filter((other) => other !== reader);
    if (reader.keys === null) return;
    for (const key of reader.keys) {
      const readers = this.#byKey.get(key);
      if (readers?.delete(reader) && readers.size === 0) this.#byKey.delete(key);
    }
    this.#keys.drop(reader);
  }

  #checkEvent(event) {
    if (event !== null && this.eventOf === null) {
      throw new InvalidOption('this protocol knows no event names: give it event, such as new Json({event: "type"})');
    }
  }

  #add(reader) {
    if (this.#isEnded) return;
    if (reader.keys !== null) this.#keys.add(reader, reader.keys); // may throw
    const isFiltered = reader.where !== null || reader.keys !== null;
    const isWanted = ({ item, about }) => isAbout(reader, about) && this.#selects(reader, item);
    const wasCounted = this.#early.onlyCounts;
    const waited = this.#early.take({ event: reader.event, isFiltered, isWanted, epoch: this.epoch });
    if (this.#beginLate !== null && (waited === null || wasCounted)) {
      this.#beginLate((items) => this.#insertLate(reader, items));
      return;
    }
    this.#insert(reader);
    for (const { item } of waited ?? []) {
      if (!reader.isGone && (reader.gaps || !(item instanceof Gap))) this.#deliver(reader, item);
    }
  }

  #insert(reader) {
    this.#readers.add(reader);
    if (reader.keys === null) this.#open = [...this.#open, reader];
    for (const key of reader.keys ?? []) this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(reader));
  }

  /** A reader begins with a snapshot of this moment: messages and gaps as `{item, about}`. */
  #insertLate(reader, items) {
    if (reader.isGone || this.#isEnded) return;
    this.#insert(reader);
    for (const { item, about } of items) if (isAbout(reader, about)) this.#offer(reader, item);
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

  /** Returns what readers select a message by: the name of its event, and its keys. */
  describe(message, { isForOthers = false } = {}) {
    let keys = NO_KEYS;
    try {
      if (this.#byKey.size > 0 || this.#early.isKeeping || isForOthers) keys = this.#keysOf(message);
    } catch (error) {
      this.#reportError(error);
    }
    return { event: this.nameOf(message), keys };
  }

  /** Delivers a message; `about`: as `describe` returns it. */
  publish(message, about = this.describe(message)) {
    this.delivered += 1;
    this.#early.put(message, about);
    this.#keeper?.put(message);
    // To the readers of this moment: the list is replaced where one comes or goes, and one that has gone gets no more.
    for (const reader of this.#open) if (isOfEvent(reader, about)) this.#offer(reader, message);
    if (about.keys.length > 0 && this.#byKey.size > 0) this.#publishToKeys(message, about);
  }

  /** Readers of keys are found by a look-up, however many keys there are; one that has several gets a message once. */
  #publishToKeys(message, about) {
    const readers = new Set(about.keys.flatMap((key) => [...(this.#byKey.get(key) ?? [])]));
    for (const reader of readers) if (isOfEvent(reader, about)) this.#offer(reader, message);
  }

  /** Delivers a gap to all readers that take them. */
  announce(gap) {
    this.#early.put(gap, null);
    this.#keeper?.lose(gap);
    for (const reader of [...this.#readers]) this.#offer(reader, gap);
  }

  #offer(reader, item) {
    if (reader.isGone) return;
    if (item instanceof Gap) {
      if (reader.gaps) this.#deliver(reader, item);
      return;
    }
    if (this.#selects(reader, item)) this.#deliver(reader, item);
  }

  #selects({ where }, message) {
    try {
      return where === null || Boolean(where(message));
    } catch (error) {
      this.#reportError(error);
      return false;
    }
  }

  #deliver(reader, item) {
    if (reader.queue !== null) {
      if (!reader.queue.put(item)) this.overflows += 1;
      if (reader.queue.isEnded) this.#remove(reader); // it has fallen behind
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
    this.#open = [];
    this.#byKey.clear();
    this.#early.end();
    this.#isEnded = true;
  }
}
