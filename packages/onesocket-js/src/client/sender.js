// Sends accepted messages: the browser writes each of them, or its sender gets a typed error.

import { ClientClosed, DeliveryUnknown, MessageExpired } from '../errors.js';
import { Outbox } from '../lifecycle/outbox.js';
import { Delivery } from './delivery.js';
import { SocketWriter } from './socket-writer.js';
import { StoredFrame } from './stored-delivery.js';

/**
 * The messages of one client. A message is *sent* when the browser has written it. While there is no connection, or while
 * the browser has enough to write, messages wait in the outbox.
 */
export class Sender {
  #outbox;
  #platform;
  #pace;
  #report;
  #remedy;
  #source = null;
  #isSourceAsked = false;
  /** Of the present connection, while it is ready. */
  #writer = null;
  #cancelExpiry = null;
  #cancelTurn = null;
  #isFirst = false;
  /** The `DurableMessages`; null: there are none. */
  #stored = null;
  sent = 0;

  /** `refusal()`: the error for a message that can't be accepted; `report(error)`: of a delivery nobody awaits. */
  constructor({ limits, platform, pace, refusal, report, remedy }) {
    this.#outbox = new Outbox(limits);
    this.#platform = platform;
    this.#pace = pace;
    this.refusal = refusal;
    this.#report = report;
    this.#remedy = remedy;
  }

  /** Has frames of a source sent before messages; it has `begin()`, `end()`, `peek()` and `taken()`. */
  setSource(source) {
    this.#source = source;
  }

  /** Has these messages sent on every connection, behind all others. */
  setStored(stored) {
    this.#stored = stored;
    stored.attach(() => this.#pump());
  }

  /** The source may have frames: they are sent soon. */
  sourceChanged() {
    if (this.#isSourceAsked) return;
    this.#isSourceAsked = true;
    queueMicrotask(() => {
      this.#isSourceAsked = false;
      this.#pump();
    });
  }

  /** Sends what the source has, as far as there is room; false: there is none. */
  #pumpSource() {
    for (;;) {
      if (!this.#writer.hasRoom) return false;
      const frame = this.#source?.peek() ?? null;
      if (frame === null) return true;
      if (!this.#writer.hand(frame)) return false;
      this.#source.taken();
    }
  }

  /** Number of messages that wait to be sent. */
  get size() {
    return this.#outbox.size + (this.#writer?.size ?? 0) + (this.#stored?.size ?? 0);
  }

  /** Accepts a message. Throws `OutboxFull`, and what `refusal()` returns. */
  send(make, options = {}) {
    const delivery = new Delivery(make, options);
    this.accept(delivery);
    return delivery;
  }

  /** Accepts a message whose `Delivery` is made. */
  accept(delivery) {
    const refusal = this.refusal();
    if (refusal !== null) throw refusal;
    const goesStraight = this.#writer?.hasRoom && this.#outbox.size === 0 && this.#takesTurn();
    if (goesStraight) {
      this.#write(delivery);
      return;
    }
    this.#outbox.put(delivery, this.#platform.now(), { first: this.#isFirst, isLasting: delivery.isLasting });
    this.#watchExpiry();
    this.#pump();
  }

  /** Withdraws a message that waits; false: it is sent, or settled. One that is being written is not sent again. */
  discard(delivery) {
    delivery.resend = false;
    return this.#outbox.discard(delivery);
  }

  /** Returns what writes on the socket of a connection. */
  makeWriter(attempt, { onLook }) {
    const onSent = () => {
      this.sent += 1;
    };
    return new SocketWriter(attempt, { platform: this.#platform, onSent, onLook });
  }

  /** The connection is ready: sends the protocol's first frames, then what waits. */
  connectionReady(attempt, first) {
    this.#writer = this.makeWriter(attempt, { onLook: () => this.#pump() });
    this.#pace?.begin?.();
    this.#source?.begin();
    this.#pumpSource();
    this.#sendFirst(first);
    this.#stored?.begin();
    this.#pump();
  }

  #sendFirst(frames) {
    for (const data of frames) {
      this.#pace?.record?.(this.#platform.now());
      this.#writer.hand(data);
    }
  }

  /** The limit on the messages of the next connection. */
  setPace(pace) {
    this.#pace = pace;
  }

  /** Gives up the connection, whose place a successor takes; returns its writer, for `settleEnded()`. */
  detach() {
    const writer = this.#writer;
    this.#writer = null;
    this.#cancelTurn?.();
    return writer;
  }

  /** Begins to send on the successor, by its `writer`; `first`: frames of its protocol that are not sent yet. */
  attach(writer, first) {
    this.#writer = writer;
    writer.onLook = () => this.#pump();
    this.#sendFirst(first);
    this.#stored?.begin();
    this.#pump();
  }

  /** Runs `call`; what it sends goes before what waits: it is for the new connection. */
  prioritized(call) {
    this.#isFirst = true;
    try {
      call();
    } finally {
      this.#isFirst = false;
    }
  }

  /** The connection is about to be closed; `drains`: in order, so it takes along what waits. */
  connectionClosing({ drains }) {
    if (this.#writer === null) return;
    if (drains) while (this.#outbox.size > 0 && this.#write(this.#outbox.take())) ;
    this.#cancelTurn?.();
  }

  /** Nothing is left of the connection; `isClean`: as of `SocketWriter.end()`. */
  connectionEnded({ isClean }) {
    const writer = this.#writer;
    this.#writer = null;
    this.#source?.end();
    this.#stored?.end();
    if (writer !== null) this.settleEnded(writer, { isClean });
  }

  /** Settles what was being written on a connection of which nothing is left. */
  settleEnded(writer, { isClean }) {
    const error = new DeliveryUnknown('the connection was lost while this message was written: it may have arrived');
    for (const delivery of writer.end({ isClean }).reverse()) {
      if (delivery instanceof StoredFrame) continue; // see `ended`
      if (delivery.resend && this.refusal() === null) {
        delivery.noteUnknown(error);
        this.#putBack(delivery);
      } else {
        this.#settle(delivery, error.copy());
      }
    }
    this.#stored?.ended(writer);
    this.#watchExpiry();
    if (this.#writer !== null) this.#pump(); // on the successor
  }

  /** The client is stopped or closed: what waits is not sent. */
  rejectWaiting(error) {
    while (this.#outbox.size > 0) this.#settle(this.#outbox.take(), error.copy());
    this.#cancelExpiry?.();
    this.#cancelExpiry = null;
    this.#stored?.stopped();
  }

  #takesTurn() {
    const seconds = this.#pace?.take(this.#platform.now()) ?? 0;
    if (seconds <= 0) return true;
    this.#cancelTurn?.();
    this.#cancelTurn = this.#platform.setTimer(seconds, () => this.#pump());
    return false;
  }

  #pump() {
    if (this.#writer === null) return;
    if (!this.#pumpSource()) {
      this.#writer.watch();
      return;
    }
    while (this.#writer?.hasRoom && this.#outbox.size > 0 && this.#takesTurn()) {
      if (!this.#write(this.#outbox.take())) return;
    }
    if (this.#outbox.size > 0) this.#writer?.watch();
    else this.#pumpStored();
  }

  #pumpStored() {
    for (let entry = this.#stored?.next ?? null; entry !== null; entry = this.#stored.next) {
      if (!this.#writer?.hasRoom) {
        this.#writer?.watch();
        return;
      }
      if (!this.#takesTurn() || !this.#writer.write(this.#stored.frameOf(entry), entry.data)) return;
      this.#stored.taken(entry, this.#writer);
    }
  }

  /** Writes a message; false: the socket takes none, and the message waits. */
  #write(delivery) {
    let data;
    try {
      data = delivery.makeFrame();
    } catch (error) {
      this.#settle(delivery, error);
      return true;
    }
    if (this.#writer.write(delivery, data)) return true;
    this.#putBack(delivery);
    return false;
  }

  #putBack(delivery) {
    this.#outbox.putBack(delivery, this.#platform.now(), delivery);
  }

  #watchExpiry() {
    this.#cancelExpiry?.();
    this.#cancelExpiry = null;
    const at = this.#outbox.nextExpiry();
    if (at === Infinity) return;
    this.#cancelExpiry = this.#platform.setTimer(at - this.#platform.now(), () => {
      this.#cancelExpiry = null;
      const text = `the message waited ${this.#outbox.limits.age} s for the connection, and was not sent`;
      const remedy = this.#remedy();
      for (const delivery of this.#outbox.takeExpired(this.#platform.now())) {
        this.#settle(delivery, new MessageExpired(remedy ? `${text}; ${remedy}` : text));
      }
      this.#watchExpiry();
    });
  }

  #settle(delivery, error) {
    const isHeard = delivery.isAwaited;
    delivery.settle(error);
    if (!isHeard && !(error instanceof ClientClosed)) this.#report(delivery.error);
  }
}
