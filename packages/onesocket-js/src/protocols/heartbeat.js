// Heartbeats made of messages: ours, with the peer's answers, and replies to those of the peer. Pure.

import { InvalidOption, PingTimeout } from '../errors.js';
import { fail, send, wakeAt } from './protocol.js';

/** Neither 1000 nor 1001: the peer may keep the session of a connection that was not closed in order. */
const CLOSE_CODE = 4000;
/** Seconds: a check that comes later proves nothing at first, as the page was busy or frozen, and the answer may wait. */
const LATE = 0.25;

/**
 * Messages that show life, as a browser can't send PINGs. None of them reaches the readers.
 *
 * `message`: what to send every `interval` seconds, or a function that returns it. `timeout`: seconds without an answer
 * (`answer(message)` is true for one) until the connection counts as dead. `reply(message)`: what a heartbeat of the
 * peer wants to have back; null or undefined for other messages.
 */
export class Heartbeat {
  constructor({ message = null, interval = null, timeout = null, answer = null, reply = null } = {}) {
    if ((message === null) !== (interval === null)) throw new InvalidOption('Heartbeat: message and interval go together');
    if (message === null && reply === null) throw new InvalidOption('Heartbeat: give a message with its interval, or reply');
    for (const [name, value] of Object.entries({ interval, timeout })) {
      if (value !== null && !(Number.isFinite(value) && value > 0)) {
        throw new InvalidOption(`Heartbeat: ${name} must be a number of seconds > 0, not ${value}`);
      }
    }
    if (timeout !== null && (answer === null || message === null)) {
      throw new InvalidOption('Heartbeat: timeout needs a message, and answer to know its answers');
    }
    Object.assign(this, { message, interval, timeout, answer, reply });
  }
}

/** The heartbeats of the present connection. */
export class HeartbeatSchedule {
  #due = null;
  #deadline = null;
  /** True if a late check was excused: the next one counts, as each timer of a hidden page is late. */
  #isExcused = false;
  /** Seconds that the answer has. */
  #allowed = null;

  constructor(heartbeat) {
    this.heartbeat = heartbeat;
  }

  reset() {
    this.#due = this.#deadline = null;
    this.#isExcused = false;
  }

  /** The login is complete: sends heartbeats from now on. */
  begin(now) {
    if (this.heartbeat.interval !== null) this.#due = now + this.heartbeat.interval;
    return [this.#next()];
  }

  /** Returns the actions for a heartbeat or an answer of the peer; null: the message is neither. */
  take(message, encode) {
    const { answer, reply } = this.heartbeat;
    if (answer?.(message)) {
      this.#deadline = null;
      this.#isExcused = false;
      return [this.#next()];
    }
    const wanted = reply?.(message) ?? null;
    return wanted === null ? null : [send(encode(wanted))];
  }

  wake(now, encode) {
    const { message, interval, timeout } = this.heartbeat;
    if (this.#deadline !== null && this.#deadline <= now) {
      if (this.#isExcused || now - this.#deadline < LATE) {
        const text = `no answer to a heartbeat within ${this.#allowed} s: the connection is open, but dead`;
        return [fail(new PingTimeout(text), { code: CLOSE_CODE, reason: 'no answer to a heartbeat', dead: true })];
      }
      this.#deadline = now + Math.min(timeout, LATE); // the answer may wait to be read
      this.#isExcused = true;
    }
    const actions = [];
    if (this.#due !== null && this.#due <= now) {
      actions.push(send(encode(typeof message === 'function' ? message() : message)));
      this.#due = now + interval;
      if (timeout !== null && this.#deadline === null) this.#allow(timeout, now);
    }
    return [...actions, this.#next()];
  }

  /** Sends a heartbeat now, whose answer has so many seconds; nothing where none is answered. */
  probe(now, seconds, encode) {
    const { message, interval, timeout } = this.heartbeat;
    if (this.#due === null || timeout === null) return [];
    if (this.#deadline !== null && this.#deadline > now) {
      if (this.#deadline > now + seconds) this.#allow(seconds, now); // that of the heartbeat under way
      return [this.#next()];
    }
    this.#isExcused = false;
    this.#allow(Math.min(seconds, timeout), now);
    this.#due = now + interval;
    return [send(encode(typeof message === 'function' ? message() : message)), this.#next()];
  }

  #allow(seconds, now) {
    this.#allowed = seconds;
    this.#deadline = now + seconds;
  }

  #next() {
    const times = [this.#due, this.#deadline].filter((at) => at !== null);
    return wakeAt(times.length > 0 ? Math.min(...times) : null);
  }
}
