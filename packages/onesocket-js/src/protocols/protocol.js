// The port of a protocol: what the frames of a connection mean. Pure: it returns actions, and time is an argument.

import { InvalidOption } from '../errors.js';
import { LIMITS } from '../lifecycle/table.js';

/** Sends a frame. */
export const send = (data) => ({ type: 'send', data });
/** Delivers a message to the readers. */
export const deliver = (message) => ({ type: 'deliver', message });
/** The login is complete; `resumed`: nothing is missing since the last connection; `first`: messages to send first. */
export const ready = ({ resumed = false, first = [] } = {}) => ({ type: 'ready', resumed, first });
/** The connection can't go on; `dead`: the peer doesn't answer any more. */
export const fail = (error, { code = 1000, reason = '', dead = false } = {}) => ({ type: 'fail', error, code, reason, dead });
/** The login waits for its turn: its deadline moves by so many seconds. */
export const extend = (seconds) => ({ type: 'extend', seconds });
/** Calls `wake` at this time, instead of an earlier wish; null: never. */
export const wakeAt = (at) => ({ type: 'wakeAt', at });

/** Base of protocols. Derive from it, or from `CodecProtocol` where one frame is one message. */
export class Protocol {
  /** Sub-protocols to offer. */
  subprotocols = [];
  /** Place of the token before the login; null: there is none. */
  tokenPlace = null;
  /** True if a message of the login has the token. */
  sendsToken = false;
  /** Function of a message that returns the name of its event; null: the protocol knows none. */
  eventOf = null;
  /** Limit on the messages of a connection; null: none. */
  pace = null;
  /** Requests of the service; null: none are known. */
  requests = null;
  /** How the peer acknowledges messages, of the class `Acknowledgement`; null: it doesn't. */
  acknowledges = null;
  /** Subscriptions to keys, of the class `Subscriptions`; null: none are known. */
  subscriptions = null;
  /** What late readers begin with: `LastValues` or a `SnapshotHook`; null: with the next message. */
  snapshot = null;
  /** Seconds for which the server may count a connection after its end. */
  ghostSeconds = LIMITS.ghostSeconds;

  /** Returns the address and the sub-protocols of an attempt. */
  prepare(target, token) {
    const offered = { ...target, subprotocols: [...target.subprotocols, ...this.subprotocols] };
    return token === null || this.tokenPlace === null ? offered : this.tokenPlace.put(offered, token);
  }

  /** The connection is open: returns the actions of the login. */
  opened(_token, _now) {
    return [ready()];
  }

  /** Handles a frame. Throws `DecodeError` for one that can't be read. */
  received(data, _now) {
    return [deliver(data)];
  }

  /** The time of `wakeAt` has come. */
  wake(_now) {
    return [];
  }

  /** Asks the peer now whether it is there: without an answer within `seconds` the connection is dead. By default nothing. */
  probe(_now, _seconds) {
    return [];
  }

  /** Returns the frame of a message. Throws `EncodeError`. */
  encode(message) {
    return message;
  }

  /** This side is about to close with this code. */
  closing(_code) {}

  /** Returns the error for a CLOSE of the peer; null: the usual one. */
  closed(_code, _reason) {
    return null;
  }

  /** The connection is lost, or was never opened. */
  lost(_now) {}

  /** Function that returns the protocol of a second connection, for a `Rotation`: another instance; null: there is none. */
  get successor() {
    return null;
  }
}

/** Limit on the rate of sending: `count` messages in any `per` seconds. */
export class Pace {
  #sent = [];

  constructor(count, { per = 1 } = {}) {
    if (!Number.isInteger(count) || count < 1) throw new InvalidOption(`Pace: count must be a whole number >= 1, not ${count}`);
    if (!(per > 0)) throw new InvalidOption(`Pace: per must be a number of seconds > 0, not ${per}`);
    this.count = count;
    this.per = per;
  }

  /** Returns the same limit for another connection. */
  another() {
    return new Pace(this.count, { per: this.per });
  }

  /** Begins a new connection. */
  begin() {
    this.#sent = [];
  }

  /** Counts one message and returns 0, or counts none and returns the seconds until one may be sent. */
  take(now) {
    const seconds = this.wait(now);
    if (seconds === 0) this.#sent.push(now);
    return seconds;
  }

  /** Returns the seconds until a message may be sent; 0: one may now. */
  wait(now) {
    this.#forget(now);
    return this.#sent.length >= this.count ? this.#sent[0] + this.per - now : 0;
  }

  /** Counts a message of the protocol itself, which does not wait. */
  record(now) {
    this.#forget(now);
    this.#sent.push(now);
  }

  #forget(now) {
    while (this.#sent.length > 0 && this.#sent[0] + this.per <= now) this.#sent.shift();
  }
}
