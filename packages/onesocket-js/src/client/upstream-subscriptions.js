// The keys that readers want, and the connections that are subscribed to them: one, or two during a rotation.

import { SubscriptionRefused } from '../errors.js';
import { KeyConnection } from './key-connection.js';
import { SubscriptionCounts } from './subscription-counts.js';

/**
 * A source of frames for the sender: those of the present connection. A refused key isn't wanted any more: its subscribers
 * are told (`subscriber.refused(error)`), and it is asked for again with the next one that comes.
 */
export class UpstreamSubscriptions {
  #about;
  #limit;
  #keeper;
  #present;
  /** That of a successor, until it takes over. */
  #successor = null;
  counts = new SubscriptionCounts();

  /** `keeper`: of the snapshot, or null; `onChange()`: there may be frames; the rest is that of `KeyConnection`. */
  constructor({ keeper, onChange, ...about }) {
    this.#keeper = keeper;
    this.#limit = about.subscriptions.limit;
    this.#about = { ...about, wanted: this, onChange };
    this.#present = new KeyConnection(this.#about);
  }

  // --- subscribers ------------------------------------------------------------------------------------------------------

  /** Subscribes to keys for a subscriber; those beyond the limit are refused. Throws `InvalidOption`. */
  add(subscriber, keys) {
    const added = keys.filter((key) => !this.counts.has(key));
    const refused = this.#limit === null ? [] : added.slice(Math.max(0, this.#limit - this.counts.size));
    const fitting = keys.filter((key) => !refused.includes(key));
    const expected = this.counts.add(subscriber, fitting);
    this.#keeper?.expect(expected);
    for (const connection of this.#connections()) connection.added(expected);
    if (refused.length === 0) return;
    subscriber.refused(SubscriptionRefused.of(refused, `a connection has at most ${this.#limit} keys`, { retryable: true }));
  }

  /** Removes a subscriber with all its keys. */
  drop(subscriber) {
    const gone = this.counts.drop(subscriber);
    this.#keeper?.forget(gone);
    for (const connection of this.#connections()) connection.dropped(gone);
  }

  /** Wants these keys no more, and tells their subscribers why. */
  refuse(keys, reason) {
    this.#keeper?.forget(keys);
    const losers = this.counts.refuse(keys);
    for (const connection of this.#connections()) connection.refused(keys);
    for (const [subscriber, lost] of losers) subscriber.refused(SubscriptionRefused.of(lost, reason));
  }

  #connections() {
    return this.#successor === null ? [this.#present] : [this.#present, this.#successor];
  }

  // --- connections ------------------------------------------------------------------------------------------------------

  /** A new connection has no subscriptions. */
  begin() {
    this.#present.end();
    this.#present = new KeyConnection(this.#about);
  }

  /** The connection is gone. */
  end() {
    this.#present.end();
  }

  /** Returns the subscriptions of a successor; `onChange()`: there may be frames, or an answer has come. */
  fork(onChange) {
    this.endFork();
    this.#successor = new KeyConnection({ ...this.#about, onChange });
    return this.#successor;
  }

  /** The successor is gone. */
  endFork() {
    this.#successor?.end();
    this.#successor = null;
  }

  /** The successor takes over: its subscriptions are the present ones. */
  adoptFork() {
    if (this.#successor === null) return;
    this.#present.end();
    this.#present = this.#successor;
    this.#successor = null;
    this.#present.onChange = this.#about.onChange;
  }

  /** Returns the next frame; null: the connection has what is wanted, or the frame has to wait for its turn. */
  peek() {
    return this.#present.peek();
  }

  /** The frame is sent. */
  taken() {
    this.#present.taken();
  }

  /** Looks for an answer in a message. */
  received(message) {
    this.#present.received(message);
  }
}
