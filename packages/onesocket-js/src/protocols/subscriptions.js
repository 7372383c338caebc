// The subscriptions of a service, described by functions of keys and messages.

import { InvalidOption } from '../errors.js';
import { Pace } from './protocol.js';

/** An answer to a message that subscribes: it accepts these keys (null: all of the oldest such message), or refuses them. */
export class SubscriptionAnswer {
  constructor(keys = null, { refused = null } = {}) {
    Object.assign(this, { keys: keys === null ? null : checkKeys(keys), refused });
    Object.freeze(this);
  }
}

/** Returns keys, each once; a string is one key. Throws `InvalidOption`. */
export function checkKeys(keys) {
  if (typeof keys === 'string') return [keys];
  if (typeof keys?.[Symbol.iterator] !== 'function') {
    throw new InvalidOption(`keys must be several keys, such as ['a', 'b'], not ${keys}`);
  }
  return [...new Set(keys)];
}

/**
 * The messages that subscribe a connection to keys, and the limits of the service.
 *
 * `subscribe(keys)` and `unsubscribe(keys)` return the message for a list of keys; a generator yields several. `key(message)`
 * returns the key of a received message. `wildcard(key)`: the key that asks for all messages like those of a key. `ack(message)`:
 * the `SubscriptionAnswer`, or several in a list, that a message is, else null. `batch`: the most keys in one message, `limit`:
 * of one connection; `pace`: of these messages. `requests: true`: they are requests of the protocol, in place of `ack`.
 */
export class Subscriptions {
  constructor({
    subscribe,
    unsubscribe = null,
    key = null,
    wildcard = null,
    ack = null,
    batch = null,
    limit = null,
    pace = null,
    requests = false,
    ...unknown
  } = {}) {
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new InvalidOption(`Subscriptions has no option ${name}`);
    const functions = { subscribe, unsubscribe, key, wildcard, ack };
    for (const [each, call] of Object.entries(functions)) {
      const isOptional = ['key', 'wildcard', 'ack'].includes(each) || (each === 'unsubscribe' && requests);
      if (typeof call !== 'function' && !(isOptional && call === null)) {
        throw new InvalidOption(`Subscriptions: ${each} must be a function${isOptional ? ' or null' : ''}, not ${typeof call}`);
      }
    }
    for (const [each, value] of Object.entries({ batch, limit })) {
      if (value !== null && (!Number.isInteger(value) || value < 1)) {
        throw new InvalidOption(`Subscriptions: ${each} must be a whole number of keys >= 1, or null, not ${value}`);
      }
    }
    if (pace !== null && !(pace instanceof Pace)) throw new InvalidOption('Subscriptions: pace must be a Pace, or null');
    if (typeof requests !== 'boolean') throw new InvalidOption(`Subscriptions: requests must be true or false, not ${requests}`);
    if (requests && ack !== null) {
      throw new InvalidOption('Subscriptions: with requests: true, answers are found by their ids: leave ack out');
    }
    Object.assign(this, functions, { batch, limit, pace, requests });
    Object.freeze(this);
  }

  /** Returns the keys by which readers of a message's key are found: its own, and the wildcard for it. */
  keysOf(message) {
    const key = this.key?.(message) ?? null;
    if (key === null) return [];
    const wildcard = this.wildcard?.(key) ?? null;
    return wildcard === null || wildcard === key ? [key] : [key, wildcard];
  }
}

/** Checks the subscriptions of a protocol; `requests`: those of the same protocol. Throws `InvalidOption`. */
export function checkSubscriptions(subscriptions, requests) {
  if (subscriptions === null) return null;
  if (!(subscriptions instanceof Subscriptions)) throw new InvalidOption('subscriptions must be Subscriptions, or null');
  if (subscriptions.requests && requests === null) {
    throw new InvalidOption('Subscriptions({requests: true}) needs requests: new Requests() beside it, for the ids');
  }
  if (subscriptions.requests && subscriptions.unsubscribe === null && requests.stop === null) {
    throw new InvalidOption('Subscriptions({requests: true}) needs unsubscribe, or stop of Requests');
  }
  return subscriptions;
}

/** Returns the messages that a function of `Subscriptions` made: one, or several of a generator. */
export const messagesOf = (made) => (typeof made?.next === 'function' ? [...made] : [made]);

/** Returns the answers that `ack` returned: one, several or none. */
export function answersOf(answer) {
  if (!answer) return [];
  const answers = answer instanceof SubscriptionAnswer ? [answer] : [...answer];
  for (const each of answers) {
    if (!(each instanceof SubscriptionAnswer)) {
      throw new InvalidOption('ack must return a SubscriptionAnswer, a list of them, or null');
    }
  }
  return answers;
}
