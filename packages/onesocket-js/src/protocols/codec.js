// Protocols in which one frame is one message: `Raw` and `Json`, with a login, heartbeats and requests.

import { DecodeError, EncodeError, InvalidOption, OnesocketError } from '../errors.js';
import { LIMITS } from '../lifecycle/table.js';
import { Heartbeat, HeartbeatSchedule } from './heartbeat.js';
import { Login } from './login.js';
import { deliver, fail, Pace, Protocol, ready, send } from './protocol.js';
import { Requests } from './requests.js';
import { checkSnapshot } from './snapshot.js';
import { checkSubscriptions } from './subscriptions.js';

const LOGIN_REFUSED_CODE = 4001;

function checkKind(name, value, kind) {
  if (value !== null && !(value instanceof kind)) throw new InvalidOption(`${name} must be a ${kind.name}, or null`);
  return value;
}

/** Base of protocols in which one frame is one message; a subclass defines `encode` and `decode`. */
export class CodecProtocol extends Protocol {
  #login;
  #heartbeats;
  #onReady;
  #closed;
  #isLoggedIn = false;

  /**
   * `event`: the key of the event's name in a message, or a function of the message. `onReady()`: returns messages to
   * send on each new connection, after the login. `closed(code, reason)`: returns the error for a CLOSE, or null.
   */
  constructor({
    login = null,
    event = null,
    subprotocols = [],
    tokenPlace = null,
    pace = null,
    heartbeat = null,
    onReady = null,
    requests = null,
    subscriptions = null,
    snapshot = null,
    closed = null,
    ghostSeconds = LIMITS.ghostSeconds,
    ...unknown
  } = {}) {
    super();
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new InvalidOption(`${new.target.name} has no option ${name}`);
    this.#login = checkKind('login', login, Login);
    checkKind('heartbeat', heartbeat, Heartbeat);
    this.#heartbeats = heartbeat === null ? null : new HeartbeatSchedule(heartbeat);
    this.#onReady = onReady;
    this.#closed = closed;
    this.requests = checkKind('requests', requests, Requests);
    this.subscriptions = checkSubscriptions(subscriptions, requests);
    this.snapshot = checkSnapshot(snapshot, subscriptions);
    this.pace = checkKind('pace', pace, Pace);
    this.subprotocols = [...subprotocols];
    this.tokenPlace = tokenPlace;
    this.sendsToken = Boolean(login?.request);
    this.ghostSeconds = ghostSeconds;
    if (typeof event === 'function') this.eventOf = event;
    else if (event !== null) this.eventOf = (message) => message?.[event];
  }

  opened(token, now) {
    this.#isLoggedIn = false;
    this.#heartbeats?.reset();
    const actions = [];
    if (this.#login?.request) actions.push(send(this.encode(this.#login.request(token))));
    if (!this.#login?.ready) actions.push(...this.#begin(now));
    return actions;
  }

  received(data, now) {
    const message = this.decode(data);
    const ofHeartbeat = this.#heartbeats?.take(message, (each) => this.encode(each)) ?? null;
    if (ofHeartbeat !== null) return ofHeartbeat;
    const refusal = this.#isLoggedIn ? null : (this.#login?.refusal(message) ?? null);
    if (refusal !== null) return [fail(refusal, { code: LOGIN_REFUSED_CODE, reason: 'the login was refused' })];
    if (!this.#isLoggedIn && this.#login?.ready?.(message)) return [...this.#begin(now), deliver(message)];
    return [deliver(message)];
  }

  wake(now) {
    return this.#heartbeats?.wake(now, (each) => this.encode(each)) ?? [];
  }

  closed(code, reason) {
    const error = this.#closed?.(code, reason) ?? null;
    return error instanceof OnesocketError ? error : null;
  }

  #begin(now) {
    this.#isLoggedIn = true;
    const first = [...(this.#onReady?.() ?? [])].map((message) => this.encode(message));
    return [ready({ first }), ...(this.#heartbeats?.begin(now) ?? [])];
  }
}

/** Frames as they are: strings, and bytes as `ArrayBuffer`. */
export class Raw extends CodecProtocol {
  encode(message) {
    if (typeof message === 'string' || message instanceof ArrayBuffer || ArrayBuffer.isView(message)) return message;
    throw new EncodeError(`Raw sends strings, ArrayBuffers and their views, not ${typeof message}`);
  }

  decode(data) {
    return data;
  }
}

/** One JSON value in each text frame. */
export class Json extends CodecProtocol {
  encode(message) {
    let text;
    try {
      text = JSON.stringify(message);
    } catch (cause) {
      throw new EncodeError(`JSON can't hold the message: ${cause.message}`, { cause });
    }
    if (text === undefined) throw new EncodeError(`JSON can't hold a message of type ${typeof message}`);
    return text;
  }

  decode(data) {
    try {
      return JSON.parse(typeof data === 'string' ? data : new TextDecoder('utf-8', { fatal: true }).decode(data));
    } catch {
      throw new DecodeError('a message came that is no JSON', { data });
    }
  }
}
