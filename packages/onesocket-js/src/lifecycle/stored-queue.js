// Messages that are kept in a store until they are settled: their order, states, bounds and ages. Pure.

import { DuplicateMessage, OutboxFull } from '../errors.js';

/** Progress of one message. */
export const StoredState = Object.freeze({
  STORING: 'being stored',
  WAITING: 'waiting',
  /** Handed to the socket of a connection that is not gone. */
  SENT: 'sent',
  /** Acknowledged, expired, not stored, or of unknown fate. */
  GONE: 'settled',
});

const sizeOf = (data) => (typeof data === 'string' ? new TextEncoder().encode(data).length : data.byteLength);
const isUnsent = ({ state }) => state === StoredState.STORING || state === StoredState.WAITING;

/** One message, from its acceptance until it is settled. */
class StoredEntry {
  state = StoredState.STORING;
  /** True if a copy of it may have arrived. */
  wasSent = false;
  /** The connection that it was sent on, as long as that is not gone. */
  writer = null;

  /**
   * `number`: its place in the order, over all runs. `messageId`: a string, a number or null. `resend`: it may be sent
   * twice. `storedAt`, `expiresAt`: Unix time; `expires`: on the clock behind `now`. `ticket`: the handle of its sender.
   * `isMarked`: the store says that it may have been sent; only then it is.
   */
  constructor(about) {
    Object.assign(this, about);
    this.size = sizeOf(about.data);
  }
}

/** First in, first out. Each message stays until it is settled; those that were sent can be sent again, in order. */
export class StoredQueue {
  #limits;
  #size = 0;
  /** By their numbers, in order. */
  #entries = new Map();
  #ids = new Map();
  /** May hold entries that are gone: they are skipped. */
  #waiting = [];
  /** Marked, and not sent. */
  #marked = new Set();
  #unsent = 0;
  #nextNumber = 1;

  /** `limits`: `messages` and `bytes`. */
  constructor(limits) {
    this.#limits = limits;
  }

  /** Number of messages. */
  get size() {
    return this.#entries.size;
  }

  /** All messages, in order. */
  get entries() {
    return [...this.#entries.values()];
  }

  /** Takes a message that is being stored. Throws `OutboxFull` or `DuplicateMessage`. */
  put(about) {
    const entry = new StoredEntry({ ...about, number: this.#nextNumber });
    const { messages, bytes } = this.#limits;
    if (this.withId(entry.messageId) !== null) {
      throw new DuplicateMessage(
        `a message with the id ${JSON.stringify(entry.messageId)} is in the outbox already, and waits for its acknowledgement: ` +
          'each message needs an id of its own',
      );
    }
    if (this.size >= messages) {
      throw new OutboxFull(
        `${this.size} messages wait in the durable outbox, which is its limit (messages): wait until some are settled`,
      );
    }
    if (this.#size + entry.size > bytes) {
      throw new OutboxFull(
        `a message of ${entry.size} bytes has no room in the durable outbox beside the ${this.#size} that wait, as its ` +
          `limit (bytes) is ${bytes}: wait until some are settled`,
      );
    }
    this.#add(entry);
    return entry;
  }

  /** Takes a message of an earlier run, in order, before any `put`; the bounds don't hold for it. Returns its entry. */
  restore(about) {
    const entry = new StoredEntry({ ...about, wasSent: about.isMarked });
    this.#add(entry);
    this.stored(entry);
    return entry;
  }

  #add(entry) {
    this.#nextNumber = entry.number + 1;
    this.#entries.set(entry.number, entry);
    this.#size += entry.size;
    if (entry.messageId !== null) this.#ids.set(entry.messageId, entry);
    this.#unsent += 1;
    if (entry.isMarked) this.#marked.add(entry);
  }

  /** The message with this number; null: it is gone. */
  find(number) {
    return this.#entries.get(number) ?? null;
  }

  /** The message with this id; null: there is none. */
  withId(messageId) {
    return this.#ids.get(messageId) ?? null;
  }

  /** The message is in the store: from now on it may be sent. */
  stored(entry) {
    entry.state = StoredState.WAITING;
    this.#waiting.push(entry);
  }

  /** The next message to be sent; null: all were. */
  get next() {
    while (this.#waiting.length > 0 && this.#waiting[0].state !== StoredState.WAITING) this.#waiting.shift();
    return this.#waiting[0] ?? null;
  }

  // --- marks: at most so many messages at once are said to have been sent before they are ---------------------------------

  /** True if a new message is one of the next `messages` and `bytes` to be sent, and those before it are marked. */
  canMark({ messages, bytes }) {
    if (this.#marked.size >= messages || this.#marked.size < this.#unsent) return false;
    let size = 0;
    for (const entry of this.#marked) size += entry.size;
    return size < bytes;
  }

  /** The next messages that are to be sent, if the first isn't marked: at least one, at most so many. */
  toMark({ messages, bytes }) {
    const entries = [];
    if (this.next === null || this.next.isMarked) return entries;
    let size = 0;
    for (const entry of this.#waiting) {
      if (entries.length >= messages || size >= bytes) break;
      if (entry.state !== StoredState.WAITING || entry.isMarked) continue;
      entries.push(entry);
      size += entry.size;
    }
    return entries;
  }

  /** The store says of these messages that they may have been sent. */
  mark(entries) {
    for (const entry of entries) {
      if (!isUnsent(entry)) continue;
      entry.isMarked = true;
      this.#marked.add(entry);
    }
  }

  /** Returns the messages that were marked and never sent, whose marks are taken back. */
  unmark() {
    const entries = [...this.#marked].filter(({ wasSent }) => !wasSent);
    for (const entry of entries) {
      entry.isMarked = false;
      this.#marked.delete(entry);
    }
    return entries;
  }

  // --- sending ------------------------------------------------------------------------------------------------------------

  /** The next message was handed to the socket of this connection. */
  taken(entry, writer) {
    this.#waiting.shift();
    this.#leaveUnsent(entry);
    Object.assign(entry, { state: StoredState.SENT, wasSent: true, writer });
  }

  /** The messages that were sent on this connection, and aren't settled. */
  sentOn(writer) {
    return this.entries.filter((entry) => entry.state === StoredState.SENT && entry.writer === writer);
  }

  /** What was sent waits again, in this order, before the others. */
  rewind(entries) {
    for (const entry of entries) {
      Object.assign(entry, { state: StoredState.WAITING, writer: null });
      this.#unsent += 1;
      this.#marked.add(entry);
    }
    this.#waiting.unshift(...entries);
  }

  // --- ends ---------------------------------------------------------------------------------------------------------------

  /** Removes and returns the message with this id; null: there is none, or it can't have been sent. */
  acknowledged(messageId) {
    const entry = this.withId(messageId);
    if (entry === null || entry.state === StoredState.STORING || !entry.isMarked) return null;
    this.remove(entry);
    return entry;
  }

  /** Removes a message; false: it is gone already. */
  remove(entry) {
    if (!this.#entries.delete(entry.number)) return false;
    if (isUnsent(entry)) this.#leaveUnsent(entry);
    entry.state = StoredState.GONE;
    this.#size -= entry.size;
    if (entry.messageId !== null) this.#ids.delete(entry.messageId);
    return true;
  }

  #leaveUnsent(entry) {
    this.#unsent -= 1;
    this.#marked.delete(entry);
  }

  /** Removes and returns every stored message whose time is up. */
  takeExpired(now) {
    const late = this.entries.filter(({ state, expires }) => state !== StoredState.STORING && expires <= now);
    for (const entry of late) this.remove(entry);
    return late;
  }

  /** When the next message expires, on the clock behind `now`; Infinity: none does. */
  nextExpiry() {
    let next = Infinity;
    for (const { state, expires } of this.#entries.values()) {
      if (state !== StoredState.STORING && expires < next) next = expires;
    }
    return next;
  }
}
