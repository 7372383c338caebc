// The option `outbox` for messages that survive a reload, a crash and a change of the leading tab.

import { InvalidOption } from '../errors.js';
import { DURABLE_OUTBOX_DEFAULTS } from '../lifecycle/table.js';
import { indexedDbStore } from './indexed-db-store.js';

/**
 * An outbox on disk: accepted messages survive the end of the page, and are sent in order.
 *
 * One client at a time uses it. It is opened by the first `connect()` or `send()`, and the messages lie in it unencrypted. With
 * an `Acknowledgement` (the protocol's `acknowledges`), a message stays until the peer has acknowledged it; without one, until
 * the browser has written it.
 *
 * `name`: of the outbox, within the origin. `messages`: how many messages may wait, or be unacknowledged. `bytes`: how many
 * bytes they may have, all together. `age`: seconds after which a message is given up, counted over reloads by the system's
 * clock; Infinity: none is. `store`: where they are kept (default: IndexedDB); see `MessageStore` in the types.
 */
export class DurableOutbox {
  /** The messages of earlier runs, as they were in the store when it was opened, in order. */
  restored = [];

  constructor(name, { messages, bytes, age, store = indexedDbStore, ...unknown } = {}) {
    const [unknownName] = Object.keys(unknown);
    if (unknownName !== undefined) throw new InvalidOption(`DurableOutbox has no option ${unknownName}`);
    if (typeof name !== 'string' || name === '') throw new InvalidOption('DurableOutbox: its name must be a string that is not empty');
    const bounds = { ...DURABLE_OUTBOX_DEFAULTS };
    for (const [key, value] of Object.entries({ messages, bytes, age })) if (value !== undefined) bounds[key] = value;
    for (const key of ['messages', 'bytes']) {
      if (!Number.isInteger(bounds[key]) || bounds[key] < 1) {
        throw new InvalidOption(`DurableOutbox: ${key} must be a whole number >= 1, not ${bounds[key]}`);
      }
    }
    if (typeof bounds.age !== 'number' || !(bounds.age > 0)) {
      throw new InvalidOption(`DurableOutbox: age must be a number of seconds > 0, not ${bounds.age}`);
    }
    if (typeof store?.open !== 'function') {
      throw new InvalidOption('DurableOutbox: store must be an object with the function open(name, {onLost})');
    }
    Object.assign(this, { name, ...bounds, store });
    Object.freeze(this);
  }
}
