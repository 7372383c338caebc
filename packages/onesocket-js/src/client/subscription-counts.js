// Counts of subscriptions over all who want a key, so that only differences go to the server. Pure.

import { InvalidOption } from '../errors.js';

const MAX_KEYS = 100_000;

/** Counts the subscribers of each key. A key is subscribed to while it has at least one. */
export class SubscriptionCounts {
  #total = new Map();
  #bySubscriber = new Map();

  get size() {
    return this.#total.size;
  }

  has(key) {
    return this.#total.has(key);
  }

  /** The keys that have a subscriber, in the order in which they got their first. */
  get keys() {
    return [...this.#total.keys()];
  }

  /** Counts keys for a subscriber, which has none yet; returns those that had no other. Throws `InvalidOption`: too many. */
  add(subscriber, keys) {
    const added = keys.filter((key) => !this.#total.has(key));
    if (this.#total.size + added.length > MAX_KEYS) {
      throw new InvalidOption(`more than ${MAX_KEYS} keys would be subscribed to, which is the limit`);
    }
    this.#bySubscriber.set(subscriber, new Set(keys));
    for (const key of keys) this.#total.set(key, (this.#total.get(key) ?? 0) + 1);
    return added;
  }

  /** Removes a subscriber with all its keys; returns those that have no other. */
  drop(subscriber) {
    const keys = [...(this.#bySubscriber.get(subscriber) ?? [])];
    this.#bySubscriber.delete(subscriber);
    return keys.filter((key) => {
      const left = this.#total.get(key) - 1;
      if (left > 0) this.#total.set(key, left);
      else this.#total.delete(key);
      return left === 0;
    });
  }

  /** Removes keys from all subscribers, as they are refused; returns `[subscriber, keys]` for each that loses some. */
  refuse(keys) {
    const refused = keys.filter((key) => this.#total.delete(key));
    const losers = [];
    for (const [subscriber, held] of [...this.#bySubscriber]) {
      const lost = refused.filter((key) => held.delete(key));
      if (lost.length > 0) losers.push([subscriber, lost]);
      if (held.size === 0) this.#bySubscriber.delete(subscriber);
    }
    return losers;
  }
}
