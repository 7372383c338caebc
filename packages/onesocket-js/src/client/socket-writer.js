// The messages that the socket of one connection was handed, until the browser has written them.

import { StoredFrame } from './stored-delivery.js';

/** Bytes that may wait in the browser: what it has taken can't be told from what it has written until they are few. */
const HIGH_WATER = 64 * 1024;
const FIRST_LOOK = 0.001;
const LONGEST_LOOK = 0.1;

/** Hands frames to a socket, and settles the deliveries of those that the browser has written (`bufferedAmount` says so). */
export class SocketWriter {
  #attempt;
  #platform;
  #onSent;
  #inFlight = [];
  #handed = 0;
  #look = FIRST_LOOK;
  #cancelLook = null;
  /** Called where there may be room again. */
  onLook;

  /** `onSent()`: a message is written. */
  constructor(attempt, { platform, onSent, onLook }) {
    this.#attempt = attempt;
    this.#platform = platform;
    this.#onSent = onSent;
    this.onLook = onLook;
  }

  /** Number of messages that are not known to be written, besides those of a `DurableOutbox`. */
  get size() {
    return this.#inFlight.filter(({ delivery }) => !(delivery instanceof StoredFrame)).length;
  }

  get hasRoom() {
    return this.#attempt.socket.bufferedAmount < HIGH_WATER;
  }

  /** Writes a frame that is no message of the program; false: the socket takes none. */
  hand(data) {
    const { socket } = this.#attempt;
    const before = socket.bufferedAmount;
    if (!this.#attempt.write(data)) return false;
    this.#handed += Math.max(1, socket.bufferedAmount - before);
    return true;
  }

  /** Writes the frame of a delivery; false: the socket takes none. */
  write(delivery, data) {
    if (!this.hand(data)) return false;
    this.#inFlight.push({ delivery, end: this.#handed });
    this.watch();
    return true;
  }

  /** Looks again soon: there is no event for what the browser has written. */
  watch() {
    if (this.#cancelLook !== null) return;
    this.#cancelLook = this.#platform.setTimer(this.#look, () => {
      this.#cancelLook = null;
      const before = this.#inFlight.length;
      this.#settleWritten();
      this.#look = this.#inFlight.length < before ? FIRST_LOOK : Math.min(this.#look * 2, LONGEST_LOOK);
      this.onLook();
      if (this.#inFlight.length > 0) this.watch();
    });
  }

  #settleWritten() {
    const { bufferedAmount, readyState } = this.#attempt.socket;
    if (readyState !== 1) return; // what it says after its end differs between browsers
    const written = this.#handed - bufferedAmount;
    while (this.#inFlight.length > 0 && (bufferedAmount === 0 || this.#inFlight[0].end <= written)) this.#settleNext();
  }

  #settleNext() {
    this.#onSent();
    this.#inFlight.shift().delivery.settle();
  }

  /**
   * Nothing is left of the connection; returns the deliveries that may or may not have arrived. `isClean`: this side closed
   * it, and the peer has acknowledged that, so all that was handed over was written before.
   */
  end({ isClean }) {
    while (isClean && this.#inFlight.length > 0) this.#settleNext();
    this.#cancelLook?.();
    this.#cancelLook = null;
    return this.#inFlight.splice(0).map(({ delivery }) => delivery);
  }
}
