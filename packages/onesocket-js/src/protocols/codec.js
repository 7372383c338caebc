// Protocols in which one frame is one message: `Raw` and `Json`, with a login, heartbeats and requests.

import { DecodeError, EncodeError, InvalidOption, OnesocketError } from '../errors.js';
import { LIMITS } from '../lifecycle/table.js';
import { Acknowledgement } from './acknowledgement.js';
import { Heartbeat, HeartbeatSchedule } from './heartbeat.js';
import { Login } from './login.js';
import { deliver, fail, Pace, Protocol, ready, send } from './protocol.js';
import { Requests } from './requests.js';
import { checkSnapshot } from './snapshot.js';
import { checkSubscriptions } from './subscriptions.js';

const LOGIN_REFUSED_CODE = 4001;
/** Methods that have state of one connection. */
const OF_CONNECTION = ['opened', 'received', 'wake'];

function checkKind(name, value, kind) {
  if (value !== null && !(value instanceof kind)) throw new InvalidOption(`${name} must be a ${kind.name}, or null`);
  return value;
}

/** What one connection of a codec has of its own: its login and its heartbeats. */
class CodecConnection {
  #codec;
  #login;
  #onReady;
  #heartbeats;
  #isLoggedIn = false;

  constructor(codec, { login, onReady, heartbeat }) {
    this.#codec = codec;
    this.#login = login;
    this.#onReady = onReady;
    this.#heartbeats = heartbeat === null ? null : new HeartbeatSchedule(heartbeat);
  }

  opened(token, now) {
    this.#isLoggedIn = false;
    this.#heartbeats?.reset();
    const actions = [];
    if (this.#login?.request) actions.push(send(this.#encode(this.#login.request(token))));
    if (!this.#login?.ready) actions.push(...this.#begin(now));
    return actions;
  }

  received(data, now) {
    const message = this.#codec.decode(data);
    const ofHeartbeat = this.#heartbeats?.take(message, (each) => this.#encode(each)) ?? null;
    if (ofHeartbeat !== null) return ofHeartbeat;
    const refusal = this.#isLoggedIn ? null : (this.#login?.refusal(message) ?? null);
    if (refusal !== null) return [fail(refusal, { code: LOGIN_REFUSED_CODE, reason: 'the login was refused' })];
    if (!this.#isLoggedIn && this.#login?.ready?.(message)) return [...this.#begin(now), deliver(message)];
    return [deliver(message)];
  }

  wake(now) {
    return this.#heartbeats?.wake(now, (each) => this.#encode(each)) ?? [];
  }

  probe(now, seconds) {
    return this.#heartbeats?.probe(now, seconds, (each) => this.#encode(each)) ?? [];
  }

  #begin(now) {
    this.#isLoggedIn = true;
    const first = [...(this.#onReady?.() ?? [])].map((message) => this.#encode(message));
    return [ready({ first }), ...(this.#heartbeats?.begin(now) ?? [])];
  }

  #encode(message) {
    return this.#codec.encode(message);
  }
}

/** Leaves the frames to a `CodecConnection`. */
class ConnectionProtocol extends Protocol {
  #connection = null;

  useConnection(connection) {
    this.#connection = connection;
  }

  opened(token, now) {
    return this.#connection.opened(token, now);
  }

  received(data, now) {
    return this.#connection.received(data, now);
  }

  wake(now) {
    return this.#connection.wake(now);
  }

  probe(now, seconds) {
    return this.#connection.probe(now, seconds);
  }
}

/** The protocol of a second connection beside that of a codec, for a `Rotation`. */
class CodecSuccessor extends ConnectionProtocol {
  #codec;

  constructor(codec, connection) {
    super();
    Object.assign(this, codec); // its public fields
    this.#codec = codec;
    this.useConnection(connection);
    this.pace = codec.pace?.another() ?? null;
  }

  prepare(target, token) {
    return this.#codec.prepare(target, token);
  }

  encode(message) {
    return this.#codec.encode(message);
  }

  closed(code, reason) {
    return this.#codec.closed(code, reason);
  }
}

/** Base of protocols in which one frame is one message; a subclass defines `encode` and `decode`. */
export class CodecProtocol extends ConnectionProtocol {
  #options;

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
    acknowledges = null,
    closed = null,
    ghostSeconds = LIMITS.ghostSeconds,
    ...unknown
  } = {}) {
    super();
    const [name] = Object.keys(unknown);
    if (name !== undefined) throw new InvalidOption(`${new.target.name} has no option ${name}`);
    checkKind('login', login, Login);
    checkKind('heartbeat', heartbeat, Heartbeat);
    this.#options = { login, heartbeat, onReady, closed };
    this.useConnection(new CodecConnection(this, this.#options));
    this.requests = checkKind('requests', requests, Requests);
    this.subscriptions = checkSubscriptions(subscriptions, requests);
    this.snapshot = checkSnapshot(snapshot, subscriptions);
    this.acknowledges = checkKind('acknowledges', acknowledges, Acknowledgement);
    this.pace = checkKind('pace', pace, Pace);
    this.subprotocols = [...subprotocols];
    this.tokenPlace = tokenPlace;
    this.sendsToken = Boolean(login?.request);
    this.ghostSeconds = ghostSeconds;
    if (typeof event === 'function') this.eventOf = event;
    else if (event !== null) this.eventOf = (message) => message?.[event];
  }

  closed(code, reason) {
    const error = this.#options.closed?.(code, reason) ?? null;
    return error instanceof OnesocketError ? error : null;
  }

  /**
   * Function that returns the protocol of a second connection, with a login and heartbeats of its own, for a `Rotation`; null:
   * a subclass handles frames by itself, and has no `successor()` of its own.
   */
  get successor() {
    const isOwn = OF_CONNECTION.some((name) => this[name] !== CodecProtocol.prototype[name]);
    return isOwn ? null : () => new CodecSuccessor(this, new CodecConnection(this, this.#options));
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
