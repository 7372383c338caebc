// The messages of a client with a `DurableOutbox`: stored, then sent, then settled.

import { ManuallyDisconnected } from '../errors.js';
import { StoredQueue, StoredState } from '../lifecycle/stored-queue.js';
import { StoredDelivery, StoredFrame } from './stored-delivery.js';
import { expired, kept, lost, notOpened, unconfirmed, unknownAfterLoss, unknownSince, unusable } from './stored-errors.js';
import { checkRows, copyOf, idOf, rowOf } from './stored-rows.js';
import { insert, mark, remove, StoreWriter } from './store-writer.js';

/** Seconds after which marks that could not be written are tried again. */
const RETRY = 1;
/** Messages, and bytes, that are said to have been sent before they are: after a crash these are of unknown fate. */
const MARKS = { messages: 64, bytes: 64 * 1024 };
/** Seconds of the protocol's pace that are marked at once. */
const PACED_SECONDS = 0.1;

/** Settles as the promise does, or with the reason of `signal`. */
function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/**
 * Stores each message before it is sent, and removes it once it is settled.
 *
 * A message is only sent once the store says that it may have been: so the next page knows which ones may have arrived. These
 * are sent again with `resend` alone.
 */
export class DurableMessages {
  #outbox;
  #acknowledgement;
  #shown;
  #shownUrl;
  #refusal;
  #report;
  #platform;
  #logger;
  #marks;
  #flush = () => {};
  #queue;
  /** Messages that were accepted while the store was being opened. */
  #early;
  #opening = null;
  #writer = null;
  #closing = null;
  /** True once nothing waits for the store any more: `close()` took too long. */
  #isGivenUp = false;
  #giveUp;
  #givenUp = new Promise((resolve) => {
    this.#giveUp = resolve;
  });
  /** True if the store has lost its data while it was open. */
  #isLost = false;
  /** True while there is a connection to send on. */
  #isUp = false;
  #isMarking = false;
  #cancelRetry = null;
  #cancelExpiry = null;
  #expiryAt = Infinity;
  /** True if the store could not be written the last time: reported once. */
  #hasFailed = false;

  /** `refusal()`: as of `Sender`; `pace`: of the protocol. */
  constructor(outbox, { acknowledgement, pace, shownUrl, refusal, report, platform, logger }) {
    this.#outbox = outbox;
    this.#acknowledgement = acknowledgement;
    this.#shown = JSON.stringify(outbox.name);
    this.#shownUrl = shownUrl;
    this.#refusal = refusal;
    this.#report = report;
    this.#platform = platform;
    this.#logger = logger;
    const paced = !pace ? Infinity : Math.max(1, Math.ceil((pace.count / pace.per) * PACED_SECONDS) || 1);
    this.#marks = { ...MARKS, messages: Math.min(MARKS.messages, paced) };
    this.#queue = new StoredQueue(outbox);
    this.#early = new StoredQueue(outbox);
  }

  /** Completes it by a call of the sender, which sends what may be sent now. */
  attach(flush) {
    this.#flush = flush;
  }

  /** True once the store is open. */
  get isOpen() {
    return this.#writer !== null;
  }

  /** Number of messages that are not settled. */
  get size() {
    return this.#queue.size + this.#early.size;
  }

  // --- the store ----------------------------------------------------------------------------------------------------------

  /**
   * Opens the store, unless it is: reads what earlier pages left. Rejects with `OutboxUnusable` or `OutboxInUse`. A stopped
   * client doesn't need it, but with `liftsDisconnect` it is about to go on. `signal` withdraws this call alone.
   */
  async open({ liftsDisconnect = false, signal } = {}) {
    signal?.throwIfAborted();
    const refusal = this.#refusal();
    const isStopped = refusal !== null && !(liftsDisconnect && refusal instanceof ManuallyDisconnected);
    if (this.#writer !== null || (isStopped && this.#opening === null)) return;
    this.#opening ??= this.#openStore().finally(() => {
      this.#opening = null;
    });
    const copied = this.#opening.catch((error) => {
      throw error.copy(); // each caller gets its own
    });
    await unlessAborted(copied, signal);
  }

  /** Opens the store, and reports a failure: for calls that don't wait. */
  openNowait() {
    this.open().catch((error) => this.#report(error));
  }

  async #openStore() {
    let store = null;
    let rows;
    try {
      const opening = Promise.resolve(this.#outbox.store.open(this.#outbox.name, { onLost: (why) => this.#storeLost(why) }));
      store = await Promise.race([opening, this.#givenUp]);
      if (this.#isGivenUp) {
        opening.then((late) => late.close()).catch(() => {});
        return;
      }
      rows = checkRows(store.rows, this.#shown);
    } catch (cause) {
      await (async () => store?.close())().catch(() => {}); // the first error counts
      const error = unusable(this.#shown, cause);
      for (const entry of this.#takeEarly()) this.#settle(entry.ticket, error.copy());
      throw error;
    }
    const report = (operations, error) => this.#written(operations, error);
    this.#writer = new StoreWriter(store, { shown: this.#shown, platform: this.#platform, report });
    this.#restore(rows);
    for (const { data, messageId, resend, ticket, isAgain } of this.#takeEarly()) {
      try {
        const accepted = this.#accept({ data, messageId, resend, ticket, isAgain });
        if (accepted !== ticket) ticket.follow(accepted); // the earlier owner had it
      } catch (error) {
        this.#settle(ticket, error);
      }
    }
    this.#goOn();
  }

  #takeEarly() {
    const { entries } = this.#early;
    this.#early = new StoredQueue(this.#outbox);
    return entries;
  }

  /** Takes what earlier pages left; what may have arrived is of unknown fate, unless it may be sent twice. */
  #restore(rows) {
    const [now, date] = [this.#platform.now(), this.#platform.date()];
    const { restored } = this.#outbox;
    restored.length = 0;
    const unknown = [];
    for (const row of rows) {
      const { number, messageId, data, storedAt, mayHaveArrived, resend } = row;
      const expiresAt = row.expiresAt ?? Infinity;
      restored.push(Object.freeze({ data, messageId, storedAt, mayHaveArrived }));
      const ticket = new StoredDelivery({ resend });
      ticket.stored();
      // No clock that was set back makes a message older than its age.
      const expires = now + Math.min(expiresAt - date, expiresAt - storedAt);
      const about = { number, messageId, data, storedAt, expiresAt, resend, expires, ticket, isMarked: mayHaveArrived };
      const entry = this.#queue.restore(about);
      if (mayHaveArrived && !resend) unknown.push(entry);
    }
    for (const entry of unknown) this.#remove(entry);
    this.#logRestored(unknown.length);
    for (const entry of unknown) this.#settle(entry.ticket, unknownSince(entry));
    this.#expire();
  }

  #logRestored(unknown) {
    if (this.#outbox.restored.length === 0) return;
    const text =
      `onesocket: ${this.#shownUrl}: the outbox ${this.#shown} has ${this.#queue.size} messages of an earlier page, which are ` +
      `sent now; ${unknown} others may have arrived, and are not sent again`;
    if (unknown > 0) this.#logger?.warn(text);
    else this.#logger?.info(text);
  }

  #storeLost(why) {
    if (this.#isLost || this.#closing !== null) return;
    this.#isLost = true;
    this.#report(lost(this.#shown, why));
    this.#goOn();
  }

  /** Closes the store, once all is written; messages that are not settled stay in it. At most `timeout` seconds. */
  async close(timeout) {
    this.#closing ??= this.#closeStore();
    let cancel;
    const late = new Promise((resolve) => {
      cancel = this.#platform.setTimer(timeout, () => resolve(true));
    });
    const isLate = await Promise.race([this.#closing, late]);
    cancel();
    if (!isLate) return;
    this.#isGivenUp = true;
    this.#giveUp();
    for (const { ticket } of this.#takeEarly()) this.#settle(ticket, notOpened(this.#shown));
    for (const { ticket } of this.#queue.entries) if (!ticket.isStored) this.#settle(ticket, unconfirmed(this.#shown));
  }

  async #closeStore() {
    this.#keep();
    await this.#opening?.catch(() => {});
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    this.#stopExpiry();
    await this.#writer?.close();
    this.#writer = null;
    this.#keep(); // what was still being stored
  }

  /** Operations are in the store, or could not be written. */
  #written(operations, error) {
    let hadInserts = false;
    for (const operation of operations) {
      if (operation.kind === 'insert') {
        hadInserts = true;
        this.#inserted(this.#queue.find(operation.row.number), error);
      } else if (operation.kind === 'mark') {
        this.#marked(operation, error);
      }
    }
    if (error !== null && !this.#hasFailed && !hadInserts && !this.#isLost) this.#report(error.copy());
    this.#hasFailed = error !== null;
    this.#goOn();
  }

  #inserted(entry, error) {
    if (entry === null) return;
    if (error === null) {
      this.#queue.stored(entry);
      entry.ticket.stored();
      this.#watchAge(entry.expires);
    } else {
      this.#remove(entry); // a store that failed may have it all the same
      this.#settle(entry.ticket, error.copy());
    }
  }

  #marked({ entries }, error) {
    if (entries.length === 0) return; // marks that were taken back
    this.#isMarking = false;
    if (error === null || this.#isLost) {
      this.#queue.mark(entries);
      if (!this.#isUp) this.#unmark();
    } else if (this.#closing === null) {
      // Not sent unmarked: the next page would send it again, without resend, too.
      this.#cancelRetry ??= this.#platform.setTimer(RETRY, () => {
        this.#cancelRetry = null;
        this.#goOn();
      });
    }
  }

  // --- calls of the client ------------------------------------------------------------------------------------------------

  /**
   * Takes a message; null: it is none to be kept, as it has no id. `isAgain`: an earlier owner of the connection may have
   * accepted it. Throws `OutboxFull`, `DuplicateMessage`, `EncodeError`, or the client's refusal.
   */
  post(message, data, { resend, isAgain }) {
    let messageId = null;
    if (this.#acknowledgement !== null) {
      messageId = idOf(this.#acknowledgement, message);
      if (messageId === null) return null;
    }
    const refusal = this.#refusal();
    if (refusal !== null) throw refusal;
    const ticket = new StoredDelivery({ resend });
    const about = { data: copyOf(data), messageId, resend, ticket, isAgain };
    if (this.#writer !== null) return this.#accept(about);
    this.#early.put({ ...about, isMarked: false });
    this.open().catch(() => {}); // its error is that of the messages
    return ticket;
  }

  /** Has a message stored; returns its delivery. */
  #accept({ isAgain = false, ...about }) {
    const earlier = isAgain ? this.#queue.withId(about.messageId) : null;
    if (earlier !== null) return earlier.ticket;
    const { age } = this.#outbox;
    const storedAt = this.#platform.date();
    const isMarked = this.#isUp && this.#queue.canMark(this.#marks);
    const times = { storedAt, expiresAt: storedAt + age, expires: this.#platform.now() + age };
    const entry = this.#queue.put({ ...about, ...times, isMarked });
    this.#writer.submit(insert(rowOf(entry)));
    return entry.ticket;
  }

  /** Settles the message that this one acknowledges. */
  received(message) {
    if (this.#acknowledgement === null || this.#queue.size === 0) return;
    let id;
    try {
      id = this.#acknowledgement.acknowledgedBy(message) ?? null;
    } catch (error) {
      this.#report(error);
      return;
    }
    const entry = id === null ? null : this.#queue.acknowledged(id);
    if (entry === null) return;
    this.#writer?.submit(remove(entry.number));
    entry.ticket.settle();
  }

  // --- calls of the sender ------------------------------------------------------------------------------------------------

  /** There is a connection to send on. */
  begin() {
    this.#isUp = true;
    this.#mark();
  }

  /** There is none any more. */
  end() {
    this.#isUp = false;
    this.#unmark();
  }

  /** The next message that may be sent, which stays; null: there is none. */
  get next() {
    const entry = this.#queue.next;
    return entry?.isMarked ? entry : null;
  }

  /** Returns what a `SocketWriter` gets for a message. */
  frameOf(entry) {
    return new StoredFrame(() => {
      // Without acknowledgements it is settled once the browser has written it.
      if (this.#acknowledgement !== null || !this.#remove(entry)) return;
      entry.ticket.settle();
    });
  }

  /** A message was handed to the socket of this connection. */
  taken(entry, writer) {
    this.#queue.taken(entry, writer);
    this.#mark();
  }

  /** Nothing is left of this connection: what it has not settled may have arrived. */
  ended(writer) {
    const again = [];
    for (const entry of this.#queue.sentOn(writer)) {
      if (entry.resend) {
        again.push(entry);
        continue;
      }
      this.#remove(entry);
      this.#settle(entry.ticket, unknownAfterLoss(entry));
    }
    if (again.length > 0) this.#queue.rewind(again);
    this.stopped();
  }

  /** The client may have been stopped: callers that wait are told, if nothing is left of the connection. */
  stopped() {
    if (this.#refusal() !== null && !this.#isUp) this.#keep();
  }

  // --- settling -----------------------------------------------------------------------------------------------------------

  #goOn() {
    if (this.#queue.size === 0) this.#stopExpiry();
    this.#mark();
    this.stopped();
    this.#flush();
  }

  /** Has the store say of the next messages that they may have been sent. */
  #mark() {
    if (!this.#isUp || this.#isMarking || this.#cancelRetry !== null || this.#writer === null) return;
    const entries = this.#queue.toMark(this.#marks);
    if (entries.length === 0) return;
    this.#isMarking = true;
    this.#writer.submit(mark(entries, entries.map((entry) => rowOf({ ...entry, isMarked: true }))));
  }

  /** Takes marks back: these messages can't have been sent, as the connection is gone. */
  #unmark() {
    const entries = this.#queue.unmark();
    if (entries.length > 0) this.#writer?.submit(mark([], entries.map(rowOf)));
  }

  #remove(entry) {
    if (!this.#queue.remove(entry)) return false;
    this.#writer?.submit(remove(entry.number));
    return true;
  }

  #keep() {
    for (const { state, ticket } of this.#queue.entries) {
      if (state !== StoredState.STORING && !ticket.done) ticket.settle(kept(this.#shown));
    }
  }

  #settle(delivery, error) {
    const isHeard = !delivery.done && delivery.isAwaited; // one that was kept has told its caller that
    delivery.settle(error);
    if (!isHeard) this.#report(error);
  }

  #expire() {
    const { age } = this.#outbox;
    for (const entry of this.#queue.takeExpired(this.#platform.now())) {
      this.#writer?.submit(remove(entry.number));
      this.#settle(entry.ticket, expired(entry, age));
    }
    this.#stopExpiry();
    this.#watchAge(this.#queue.nextExpiry());
  }

  #stopExpiry() {
    this.#expiryAt = Infinity;
    this.#cancelExpiry?.();
    this.#cancelExpiry = null;
  }

  /** Looks for expired messages when this one's time is up, unless that is due before. */
  #watchAge(expires) {
    if (expires >= this.#expiryAt || this.#closing !== null) return;
    this.#cancelExpiry?.();
    this.#expiryAt = expires;
    this.#cancelExpiry = this.#platform.setTimer(expires - this.#platform.now(), () => this.#expire());
  }
}
