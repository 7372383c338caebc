// Every error that onesocket raises: one base and four branches, with the names of the Python package.
//
// UsageError: the call can't work as it was made. PeerError: the peer broke the rules, or refused.
// ConnectionFailure: the connection was lost, or never opened. Abandoned: the library stopped on purpose.

import { printable } from './printable.js';

/**
 * Base of everything that onesocket raises.
 *
 * `retryable`: whether the same call can succeed later without any change on this side.
 * `retryAfter`: least number of seconds to wait, where the peer named one; else null.
 */
export class OnesocketError extends Error {
  /** True if the peer refused the token: where a function gives tokens, one more is tried. */
  refusesToken = false;
  /** False if the next attempt waits for `retryAfter` alone, and not for the back-off. */
  backsOff = true;

  constructor(text, { retryable, retryAfter = null, cause } = {}) {
    super(printable(text), cause === undefined ? undefined : { cause });
    this.retryable = retryable ?? new.target.retryable;
    this.retryAfter = retryAfter;
  }

  /** Whether errors of this class are retryable where nothing else is said. */
  static retryable = false;

  /** The name of its class, also where a bundler has given the class a shorter one. */
  get name() {
    return NAMES.get(this.constructor) ?? this.constructor.name;
  }

  /** Returns an equal error: each caller that joined an attempt gets its own. */
  copy() {
    const copy = Object.create(Object.getPrototypeOf(this), Object.getOwnPropertyDescriptors(this));
    Object.defineProperty(copy, 'stack', { value: this.stack, configurable: true, writable: true });
    return copy;
  }
}

// --- usage errors -----------------------------------------------------------------------------------------------

/** Base of the errors of a call that can't work as it was made; the text names the remedy. */
export class UsageError extends OnesocketError {}
/** The text is no URL of a WebSocket. */
export class InvalidURL extends UsageError {}
/** An argument is out of range or contradicts another. */
export class InvalidOption extends UsageError {}
/** The tabs of this origin share this connection already, with another value of `option`. */
export class OptionConflict extends InvalidOption {
  constructor(text, { option = '', ...options } = {}) {
    super(text, options);
    this.option = option;
  }
}
/** The protocol can't put this message on the wire. */
export class EncodeError extends UsageError {}
/** The token function raised, or gave what is no token; its own error is the `cause`, and its text isn't repeated. */
export class TokenFailed extends UsageError {}
/** A lost connection is not resumed, as the provider's `auth` returned null: no user is signed in. */
export class SessionExpired extends TokenFailed {}
/** The function that was given as `url` raised; its own error is the `cause`, and its text isn't repeated. */
export class URLFailed extends UsageError {}
/** `disconnect()` was called; only `reconnect()` lifts that. */
export class ManuallyDisconnected extends UsageError {
  constructor(text = 'disconnect() was called on this client; call reconnect() to lift it', options = {}) {
    super(text, options);
  }
}
/** `close()` was called, which is final; make a new client. */
export class ClientClosed extends UsageError {
  constructor(text = 'close() was called on this client, which is final; make a new one', options = {}) {
    super(text, options);
  }
}
/** The store of a `DurableOutbox` can't be used; the text names the remedy. No message was changed. */
export class OutboxUnusable extends UsageError {}
/** Another client, of this page or another one, has the `DurableOutbox` open. */
export class OutboxInUse extends OutboxUnusable {}
/** A message with the same id is in the `DurableOutbox` already, and waits for its acknowledgement. */
export class DuplicateMessage extends UsageError {}
/** A hook was called outside `<WebSocketProvider>`. */
export class NoCurrentProvider extends UsageError {}

// --- errors of the peer -----------------------------------------------------------------------------------------

/** Base of the errors of a peer that broke the rules, or refused. */
export class PeerError extends OnesocketError {}
/** The server answered the upgrade with an HTTP `status`. A browser doesn't tell it; other `WebSocket` classes may. */
export class HandshakeRejected extends PeerError {
  constructor(text, { status = 0, ...options } = {}) {
    super(text, options);
    this.status = status;
    this.refusesToken = status === 401 || status === 403;
  }
}
/** Tabs of another version of this client have the shared connection: reload them, or this one. */
export class VersionMismatch extends PeerError {}
/** The protocol can't decode a message of the peer, which is its `data`. */
export class DecodeError extends PeerError {
  static retryable = true;

  constructor(text, { data = null, ...options } = {}) {
    super(text, options);
    // Not enumerable: it may hold secrets, and loggers show all fields that are.
    Object.defineProperty(this, 'data', { value: data, enumerable: false });
  }
}
/** Keys of a subscription were refused, by the server or for its limit: the reader gets no messages of them. */
export class SubscriptionRefused extends PeerError {
  constructor(text, { keys = [], reason = '', ...options } = {}) {
    super(text, options);
    this.keys = [...keys];
    this.reason = reason;
  }

  /** Returns the error for these keys. */
  static of(keys, reason, options = {}) {
    const shown = keys.slice(0, 5).map((key) => `'${key}'`).join(', ') + (keys.length > 5 ? ' and more' : '');
    const text = keys.length > 1 ? `${keys.length} keys were refused: ${shown}` : `the key ${shown} was refused`;
    return new this(reason ? `${text} (${reason})` : text, { keys, reason, ...options });
  }
}
/** The peer refused a request with this `answer`. */
export class RequestRefused extends PeerError {
  constructor(text, { answer = null, ...options } = {}) {
    super(text, options);
    this.answer = answer;
  }
}
/** The connection opened, but the protocol's own login was refused. */
export class LoginRefused extends PeerError {
  constructor(text, options = {}) {
    super(text, options);
    this.refusesToken = !this.retryable;
  }
}
/** The server takes no connection now: connection limit, a ghost of the last connection, too many requests. */
export class ServerBusy extends PeerError {
  static retryable = true;
  /** True if its words speak of a limit on connections. */
  isConnectionLimit = false;

  constructor(text, { code = null, reason = '', status = null, ...options } = {}) {
    super(text, options);
    this.code = code;
    this.reason = reason;
    this.status = status;
  }
}

// --- failures of the connection ---------------------------------------------------------------------------------

/** Base of the errors of a connection that was lost, or never opened. */
export class ConnectionFailure extends OnesocketError {
  static retryable = true;
}
/** The attempt ended before the WebSocket was open. A browser doesn't say why. */
export class ConnectFailed extends ConnectionFailure {}
/** No connection could be made to that host and port, as far as it is known. */
export class ConnectionRefused extends ConnectFailed {}
/** The attempt was not ready within `openTimeout`; the text names the step that it waited for. */
export class OpenTimeout extends ConnectFailed {}
/** The tab that holds the shared connection doesn't answer: it is frozen, or far too busy. */
export class OwnerSilent extends ConnectFailed {}
/** The peer closed the connection with `code` and `reason` (RFC 6455, section 7.4). */
export class ClosedByPeer extends ConnectionFailure {
  /** Final for a first connection only: one that was up before is resumed slowly (code 1008). */
  retryableOnceEstablished = false;

  constructor(text, { code = 1005, reason = '', ...options } = {}) {
    super(text, options);
    this.code = code;
    this.reason = reason;
  }
}
/** The connection ended without a CLOSE frame. */
export class ConnectionReset extends ConnectionFailure {}
/** The connection is open, but no answer to a heartbeat of the protocol came in time. */
export class PingTimeout extends ConnectionFailure {}
/** The connection is open, but no message came for `silenceTimeout` seconds. */
export class SilenceTimeout extends ConnectionFailure {}
/** The connection was lost while this message was written: it may or may not have arrived. */
export class DeliveryUnknown extends ConnectionFailure {
  static retryable = false;
}
/** The connection was lost before the answer to a request came: it may or may not have been carried out. */
export class RequestLost extends ConnectionFailure {
  static retryable = false;
}
/** The tab that held the shared connection is gone; another one takes over. */
export class OwnerLost extends ConnectionFailure {}

// --- abandoned --------------------------------------------------------------------------------------------------

/** Base of the errors of work that the library stopped on purpose; the text says why. */
export class Abandoned extends OnesocketError {}
/** `disconnect()` was called while this `connect()` was waiting. */
export class ConnectAborted extends Abandoned {}
/** Reconnecting stopped at `maxAttempts`; the last failure is the `cause`. */
export class RetriesExhausted extends Abandoned {}
/** The outbox is at its limit; this message was not accepted. */
export class OutboxFull extends Abandoned {
  static retryable = true;
}
/** The message waited in the outbox longer than its `age` and was not sent. */
export class MessageExpired extends Abandoned {}
/** The `DurableOutbox` could not write to its store: this message was not accepted, and is not sent. */
export class MessageNotStored extends Abandoned {
  static retryable = true;
}
/**
 * The client was closed or disconnected before the message was settled: it is kept in the `DurableOutbox`.
 *
 * The next connection with that outbox sends it; it may have been sent before.
 */
export class MessageKept extends Abandoned {}
/** This subscriber fell behind by more than its limit, and its overflow rule is `fail`. */
export class SlowConsumer extends Abandoned {}
/** `waitFor()` did not see the state within its timeout. */
export class WaitTimeout extends Abandoned {
  static retryable = true;
}
/** No answer to a request came within its timeout; `wasSent`: it may have been carried out. */
export class RequestTimeout extends Abandoned {
  constructor(text, { wasSent = true, ...options } = {}) {
    super(text, { retryable: !wasSent, ...options });
    this.wasSent = wasSent;
  }
}
/** A provider's `auth` gave no answer within `authTimeout`. */
export class AuthTimeout extends Abandoned {
  static retryable = true;
}

// Keys of an object keep their names where those of classes don't. A class of the program has no entry.
const NAMES = new Map(
  Object.entries({
    OnesocketError,
    UsageError,
    InvalidURL,
    InvalidOption,
    OptionConflict,
    EncodeError,
    TokenFailed,
    SessionExpired,
    URLFailed,
    ManuallyDisconnected,
    ClientClosed,
    OutboxUnusable,
    OutboxInUse,
    DuplicateMessage,
    NoCurrentProvider,
    PeerError,
    HandshakeRejected,
    VersionMismatch,
    DecodeError,
    SubscriptionRefused,
    RequestRefused,
    LoginRefused,
    ServerBusy,
    ConnectionFailure,
    ConnectFailed,
    ConnectionRefused,
    OpenTimeout,
    OwnerSilent,
    ClosedByPeer,
    ConnectionReset,
    PingTimeout,
    SilenceTimeout,
    DeliveryUnknown,
    RequestLost,
    OwnerLost,
    Abandoned,
    ConnectAborted,
    RetriesExhausted,
    OutboxFull,
    MessageExpired,
    MessageNotStored,
    MessageKept,
    SlowConsumer,
    WaitTimeout,
    RequestTimeout,
    AuthTimeout,
  }).map(([name, kind]) => [kind, name]),
);
