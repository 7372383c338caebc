// Sends accepted messages: the browser writes each of them, or its sender gets a typed error.

import { ClientClosed, DeliveryUnknown, MessageExpired } from '../errors.js';
import { Outbox } from '../lifecycle/outbox.js';
import { Delivery } from './delivery.js';

/** Bytes that may wait in the browser: what it has taken can't be told from what it has written until they are few. */
const HIGH_WATER = 64 * 1024;
const FIRST_LOOK = 0.001;
const LONGEST_LOOK = 0.1;

/**
 * The messages of one client. A message is *sent* when the browser has written it (`bufferedAmount` says so). While
 * there is no connection, or while the browser has `HIGH_WATER` bytes to write, messages wait in the outbox.
 */
export class Sender {
  #outbox;
  #platform;
  #pace;
  #report;
  #remedy;
  #source = null;
  #isSourceAsked = false;
  #attempt = null;
  #inFlight = [];
  #handed = 0;
  #look = FIRST_LOOK;
  #cancelLook = null;
  #cancelExpiry = null;
  #cancelTurn = null;
  #isFirst = false;
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
      if (!this.#hasRoom()) return false;
      const frame = this.#source?.peek() ?? null;
      if (frame === null) return true;
      if (!this.#hand(frame)) return false;
      this.#source.taken();
    }
  }

  /** Number of messages that wait to be sent. */
  get size() {
    return this.#outbox.size + this.#inFlight.length;
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
    const goesStraight = this.#attempt !== null && this.#outbox.size === 0 && this.#hasRoom() && this.#takesTurn();
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

  /** The connection is ready: sends the protocol's first frames, then what waits. */
  connectionReady(attempt, first) {
    this.#attempt = attempt;
    this.#handed = 0;
    this.#pace?.begin?.();
    this.#source?.begin();
    this.#pumpSource();
    for (const data of first) {
      this.#pace?.record?.(this.#platform.now());
      this.#hand(data);
    }
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
    if (this.#attempt === null) return;
    if (drains) while (this.#outbox.size > 0 && this.#write(this.#outbox.take())) ;
    this.#cancelTurn?.();
  }

  /**
   * Nothing is left of the connection. `isClean`: this side closed it, and the peer has acknowledged that, so all that
   * was handed over was written before; else what was not known to be written may or may not have arrived.
   */
  connectionEnded({ isClean }) {
    if (isClean) this.#settleAll();
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#attempt = null;
    this.#source?.end();
    const lost = this.#inFlight.splice(0);
    const error = new DeliveryUnknown('the connection was lost while this message was written: it may have arrived');
    for (const { delivery } of lost.reverse()) {
      if (delivery.resend && this.refusal() === null) {
        delivery.noteUnknown(error);
        this.#putBack(delivery);
      } else {
        this.#settle(delivery, error.copy());
      }
    }
    this.#watchExpiry();
  }

  /** The client is stopped or closed: what waits is not sent. */
  rejectWaiting(error) {
    while (this.#outbox.size > 0) this.#settle(this.#outbox.take(), error.copy());
    this.#cancelExpiry?.();
    this.#cancelExpiry = null;
  }

  #hasRoom() {
    return this.#attempt.socket.bufferedAmount < HIGH_WATER;
  }

  #takesTurn() {
    const seconds = this.#pace?.take(this.#platform.now()) ?? 0;
    if (seconds <= 0) return true;
    this.#cancelTurn?.();
    this.#cancelTurn = this.#platform.setTimer(seconds, () => this.#pump());
    return false;
  }

  #pump() {
    if (this.#attempt === null) return;
    if (!this.#pumpSource()) {
      this.#watchSocket();
      return;
    }
    while (this.#attempt !== null && this.#outbox.size > 0 && this.#hasRoom() && this.#takesTurn()) {
      if (!this.#write(this.#outbox.take())) return;
    }
    if (this.#attempt !== null && this.#outbox.size > 0) this.#watchSocket();
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
    if (!this.#hand(data)) {
      this.#putBack(delivery);
      return false;
    }
    this.#inFlight.push({ delivery, end: this.#handed });
    this.#watchSocket();
    return true;
  }

  #putBack(delivery) {
    this.#outbox.putBack(delivery, this.#platform.now(), delivery);
  }

  #hand(data) {
    const { socket } = this.#attempt;
    const before = socket.bufferedAmount;
    if (!this.#attempt.write(data)) return false;
    this.#handed += Math.max(1, socket.bufferedAmount - before);
    return true;
  }

  /** Looks again soon: there is no event for what the browser has written. */
  #watchSocket() {
    if (this.#cancelLook !== null) return;
    this.#cancelLook = this.#platform.setTimer(this.#look, () => {
      this.#cancelLook = null;
      const before = this.#inFlight.length;
      this.#settleWritten();
      this.#look = this.#inFlight.length < before ? FIRST_LOOK : Math.min(this.#look * 2, LONGEST_LOOK);
      this.#pump();
      if (this.#inFlight.length > 0 && this.#attempt !== null) this.#watchSocket();
    });
  }

  #settleWritten() {
    const { bufferedAmount, readyState } = this.#attempt?.socket ?? {};
    if (readyState !== 1) return; // what it says after its end differs between browsers
    const written = this.#handed - bufferedAmount;
    while (this.#inFlight.length > 0 && (bufferedAmount === 0 || this.#inFlight[0].end <= written)) {
      this.#settleNext();
    }
  }

  #settleAll() {
    while (this.#inFlight.length > 0) this.#settleNext();
  }

  #settleNext() {
    this.sent += 1;
    this.#inFlight.shift().delivery.settle();
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
