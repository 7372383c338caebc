// What late readers begin with, declared by a protocol.

import { InvalidOption } from '../errors.js';

const DEFAULT_LIMIT = 10_000;

/**
 * The newest message of each key. `key`: the name of a field, or a function of a message (default: the key of the protocol's
 * `Subscriptions`); beyond `limit` keys those without news for the longest time are dropped.
 */
export class LastValues {
  constructor({ key = null, limit = DEFAULT_LIMIT } = {}) {
    if (key !== null && typeof key !== 'function' && (typeof key !== 'string' || key === '')) {
      throw new InvalidOption('LastValues: key must be the name of a field, or a function of a message');
    }
    if (!Number.isInteger(limit) || limit < 1) {
      throw new InvalidOption(`LastValues: limit must be a whole number of keys >= 1, not ${limit}`);
    }
    Object.assign(this, { key, limit });
    Object.freeze(this);
  }
}

/**
 * Functions of the program: `messages()` returns those that a late reader begins with; `update(message)` is called with each
 * message, and `reset()` after a loss.
 */
export class SnapshotHook {
  constructor({ messages, update = null, reset = null } = {}) {
    for (const [name, call] of Object.entries({ messages, update, reset })) {
      if (typeof call !== 'function' && (name === 'messages' || call !== null)) {
        throw new InvalidOption(`SnapshotHook: ${name} must be a function`);
      }
    }
    Object.assign(this, { messages, update, reset });
    Object.freeze(this);
  }
}

/** Checks the snapshot of a protocol. Throws `InvalidOption`. */
export function checkSnapshot(snapshot, subscriptions) {
  if (snapshot === null || snapshot instanceof SnapshotHook) return snapshot;
  if (!(snapshot instanceof LastValues)) throw new InvalidOption('snapshot must be LastValues, SnapshotHook, or null');
  if (snapshot.key === null && !subscriptions?.key) {
    throw new InvalidOption('LastValues needs a key, or Subscriptions with one');
  }
  return snapshot;
}
