// The successor of a connection, from its login until it takes over: it is subscribed, and catches up.

import * as events from '../lifecycle/events.js';

/** Parts of `overlap` after which it is looked again whether the old connection has caught up. */
const LOOK = 0.25;

/**
 * Sends the subscriptions and first frames on a new connection, and reports it as ready `overlap` seconds later.
 *
 * Where answers are declared, that time begins with the last of them. It is ready only if the old connection is known to have
 * brought what came before (`messages.hasCaughtUp()`); otherwise the deadline of the attempt ends it.
 */
export class Successor {
  #epoch;
  #first;
  #pace;
  #overlap;
  #messages;
  #platform;
  #dispatch;
  #cancelTimer = null;
  #isAsked = false;
  #isSubscribed = false;
  #isOver = false;
  /** Changes of the subscriptions don't delay it any more after this time. */
  #until;
  writer;
  /** Its subscriptions, a `KeyConnection`; null: the protocol knows none. */
  source;

  /**
   * `first`: frames of the protocol to send; `messages`: the `Overlap`;
   * `makeWriter(onLook)`: returns what writes on its socket.
   */
  constructor({ epoch, first, source, pace, overlap, messages, platform, dispatch, makeWriter }) {
    this.#epoch = epoch;
    this.#first = [...first];
    this.source = source;
    this.#pace = pace;
    this.#overlap = overlap;
    this.#messages = messages;
    this.#platform = platform;
    this.#dispatch = dispatch;
    this.#until = platform.now() + 2 * overlap;
    this.writer = makeWriter(() => this.flush());
    dispatch(events.deadlineExtended(epoch, 2 * overlap));
  }

  /** The first frames that are not sent yet. */
  get first() {
    return this.#first;
  }

  /** The source has changed, or an answer has come: sends its frames soon. */
  sourceChanged() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    queueMicrotask(() => {
      this.#isAsked = false;
      this.flush();
    });
  }

  /** Sends what is to be sent; then it catches up. */
  flush() {
    if (this.#isOver) return;
    const hasSent = this.#send();
    if (!this.writer.hasRoom) this.writer.watch();
    else if (this.source !== null && !this.source.isSettled) {
      if (this.#platform.now() < this.#until) this.#isSubscribed = false;
    } else if (!this.#isSubscribed || (hasSent && this.#platform.now() < this.#until)) this.#subscribed();
  }

  #send() {
    let hasSent = false;
    while (this.writer.hasRoom) {
      const ofSource = this.source?.peek() ?? null;
      const frame = ofSource ?? this.#first[0];
      if (frame === undefined || !this.writer.hand(frame)) break;
      hasSent = true;
      if (ofSource !== null) this.source.taken();
      else this.#first.shift();
      if (ofSource === null) this.#pace?.record?.(this.#platform.now());
    }
    return hasSent;
  }

  #subscribed() {
    this.#isSubscribed = true;
    this.#messages.settled();
    this.#lookIn(this.#overlap);
  }

  #lookIn(seconds) {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#platform.setTimer(seconds, () => {
      this.#cancelTimer = null;
      if (!this.#isSubscribed) return; // subscriptions have changed meanwhile
      if (this.#messages.hasCaughtUp(this.#overlap / 2)) this.#dispatch(events.protocolReady(this.#epoch));
      else this.#lookIn(this.#overlap * LOOK);
    });
  }

  /** Does and reports nothing more: it has taken over, also for a connection that was lost, or is lost itself. */
  end() {
    this.#isOver = true;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
  }
}
