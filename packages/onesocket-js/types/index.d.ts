/// <reference lib="esnext.disposable" />
// The types of the package. All durations are seconds, all times are Unix time in seconds.

type Values<T> = T[keyof T];
type Maybe<T> = T | Promise<T>;

// --- names --------------------------------------------------------------------------------------------------------------

export declare const State: {
  readonly DISCONNECTED: 'disconnected';
  readonly CONNECTING: 'connecting';
  readonly CONNECTED: 'connected';
  readonly BACKING_OFF: 'backing off';
  readonly CLOSING: 'closing';
  readonly FAILED: 'failed';
  readonly STOPPED: 'stopped';
  readonly CLOSED: 'closed';
};
export type State = Values<typeof State>;

export declare const Outcome: {
  readonly OPENED: 'opened';
  readonly JOINED: 'joined';
  readonly ALREADY_CONNECTED: 'already connected';
  readonly NOT_AUTHENTICATED: 'not authenticated';
};
export type Outcome = Values<typeof Outcome>;

export declare const Verdict: {
  readonly RETRY: 'retry';
  readonly SLOW: 'slow';
  readonly NEW_TOKEN: 'new token';
  readonly FAIL: 'fail';
};
export type Verdict = Values<typeof Verdict>;

export declare const GapReason: {
  readonly RECONNECTED: 'reconnected';
  readonly OVERFLOW: 'overflow';
  readonly UNDECODABLE: 'undecodable';
};
export type GapReason = Values<typeof GapReason>;

export declare const Overflow: { readonly FAIL: 'fail'; readonly DROP_OLDEST: 'drop_oldest' };
export type Overflow = Values<typeof Overflow>;

export declare const NoticeLevel: { readonly INFO: 'info'; readonly WARNING: 'warning'; readonly ERROR: 'error' };
export type NoticeLevel = Values<typeof NoticeLevel>;

export declare const NoticeId: {
  readonly CONNECTION_FAILED: 'connection-failed';
  readonly CONNECTION_LOST: 'connection-lost';
  readonly SERVICE_BUSY: 'service-busy';
  readonly SIGN_IN_FAILED: 'sign-in-failed';
  readonly SESSION_EXPIRED: 'session-expired';
};
export type NoticeId = Values<typeof NoticeId>;

// --- errors -------------------------------------------------------------------------------------------------------------

export interface ErrorOptions {
  retryable?: boolean;
  retryAfter?: number | null;
  cause?: unknown;
}

export declare class OnesocketError extends Error {
  constructor(text: string, options?: ErrorOptions);
  /** Whether the same call can succeed later without any change on this side. */
  retryable: boolean;
  /** The least number of seconds to wait, where the peer named one. */
  retryAfter: number | null;
  refusesToken: boolean;
  backsOff: boolean;
  copy(): this;
}
export declare class UsageError extends OnesocketError {}
export declare class InvalidURL extends UsageError {}
export declare class InvalidOption extends UsageError {}
export declare class OptionConflict extends InvalidOption {
  option: string;
}
export declare class EncodeError extends UsageError {}
export declare class TokenFailed extends UsageError {}
export declare class SessionExpired extends TokenFailed {}
export declare class URLFailed extends UsageError {}
export declare class ManuallyDisconnected extends UsageError {
  constructor(text?: string, options?: ErrorOptions);
}
export declare class ClientClosed extends UsageError {
  constructor(text?: string, options?: ErrorOptions);
}
export declare class OutboxUnusable extends UsageError {}
export declare class OutboxInUse extends OutboxUnusable {}
export declare class DuplicateMessage extends UsageError {}
export declare class NoCurrentProvider extends UsageError {}
export declare class PeerError extends OnesocketError {}
export declare class HandshakeRejected extends PeerError {
  constructor(text: string, options?: ErrorOptions & { status?: number });
  status: number;
}
export declare class VersionMismatch extends PeerError {}
export declare class DecodeError extends PeerError {
  constructor(text: string, options?: ErrorOptions & { data?: Frame | null });
  readonly data: Frame | null;
}
export declare class SubscriptionRefused extends PeerError {
  constructor(text: string, options?: ErrorOptions & { keys?: Iterable<unknown>; reason?: string });
  readonly keys: any[];
  readonly reason: string;
}
export declare class RequestRefused extends PeerError {
  constructor(text: string, options?: ErrorOptions & { answer?: unknown });
  answer: unknown;
}
export declare class LoginRefused extends PeerError {}
export declare class ServerBusy extends PeerError {
  constructor(text: string, options?: ErrorOptions & { code?: number | null; reason?: string; status?: number | null });
  code: number | null;
  reason: string;
  status: number | null;
  isConnectionLimit: boolean;
}
export declare class ConnectionFailure extends OnesocketError {}
export declare class ConnectFailed extends ConnectionFailure {}
export declare class ConnectionRefused extends ConnectFailed {}
export declare class OpenTimeout extends ConnectFailed {}
export declare class OwnerSilent extends ConnectFailed {}
export declare class ClosedByPeer extends ConnectionFailure {
  constructor(text: string, options?: ErrorOptions & { code?: number; reason?: string });
  code: number;
  reason: string;
}
export declare class ConnectionReset extends ConnectionFailure {}
export declare class PingTimeout extends ConnectionFailure {}
export declare class SilenceTimeout extends ConnectionFailure {}
export declare class DeliveryUnknown extends ConnectionFailure {}
export declare class RequestLost extends ConnectionFailure {}
export declare class OwnerLost extends ConnectionFailure {}
export declare class Abandoned extends OnesocketError {}
export declare class ConnectAborted extends Abandoned {}
export declare class RetriesExhausted extends Abandoned {}
export declare class OutboxFull extends Abandoned {}
export declare class MessageExpired extends Abandoned {}
export declare class MessageNotStored extends Abandoned {}
export declare class MessageKept extends Abandoned {}
export declare class SlowConsumer extends Abandoned {}
export declare class WaitTimeout extends Abandoned {}
export declare class RequestTimeout extends Abandoned {
  wasSent: boolean;
}
export declare class AuthTimeout extends Abandoned {}

// --- policies -------------------------------------------------------------------------------------------------------------

export interface ReconnectOptions {
  initial?: number;
  factor?: number;
  cap?: number;
  unreachableCap?: number;
  stableAfter?: number;
  busyDelay?: number;
  retryAfterCap?: number;
  maxAttempts?: number | null;
  first?: boolean;
  verdict?: ((error: OnesocketError) => Verdict | null | undefined) | null;
}
export declare class ReconnectPolicy implements Required<ReconnectOptions> {
  constructor(options?: ReconnectOptions);
  readonly initial: number;
  readonly factor: number;
  readonly cap: number;
  readonly unreachableCap: number;
  readonly stableAfter: number;
  readonly busyDelay: number;
  readonly retryAfterCap: number;
  readonly maxAttempts: number | null;
  readonly first: boolean;
  readonly verdict: ((error: OnesocketError) => Verdict | null | undefined) | null;
}
export declare class OutboxLimits {
  constructor(options?: { messages?: number; age?: number });
  readonly messages: number;
  readonly age: number;
}

/** The id of a message, by which the peer acknowledges it. */
export type MessageId = string | number;
/** A message of an earlier page, as it was found in the store of a `DurableOutbox`. */
export interface StoredMessage {
  /** The encoded message. */
  readonly data: string | ArrayBuffer;
  /** Its id, by the protocol's `Acknowledgement`; null: the protocol names none. */
  readonly messageId: MessageId | null;
  /** When it was accepted. */
  readonly storedAt: number;
  /** True if it may have been sent before; it is sent again with `resend` alone. */
  readonly mayHaveArrived: boolean;
}
/** What a store keeps of a message. */
export interface StoredRow extends StoredMessage {
  /** Its place in the order; the key of the row. */
  readonly number: number;
  /** null: never. */
  readonly expiresAt: number | null;
  readonly resend: boolean;
}
/** `put` adds a row, or replaces the one with its number; `delete` removes the row with this number, if it is there. */
export type StoreOperation =
  | { readonly type: 'put'; readonly row: StoredRow }
  | { readonly type: 'delete'; readonly number: number };
/** The store of a `DurableOutbox`: by default IndexedDB. */
export interface MessageStore {
  /**
   * Opens the messages of an outbox for one client alone; rejects with `OutboxInUse` while another one has them. `onLost(why)`
   * tells that the data are gone although it is open.
   */
  open(name: string, events: { onLost: (why: string) => void }): Promise<OpenMessageStore>;
}
export interface OpenMessageStore {
  /** The rows that were there, in any order. */
  readonly rows: StoredRow[];
  /** Performs all of these in order, or none; resolves when the disk has them. It is not called again before. */
  apply(operations: StoreOperation[]): Promise<void>;
  /** Gives it back: another client may open it. */
  close(): Promise<void>;
}
/** An outbox on disk: accepted messages survive the end of the page, and are sent in order. */
export declare class DurableOutbox {
  /** `name`: of the outbox, within the origin. */
  constructor(
    name: string,
    options?: {
      /** How many messages may wait, or be unacknowledged (default: 10 000). */
      messages?: number;
      /** How many bytes they may have, all together (default: 16 MiB). */
      bytes?: number;
      /** Seconds after which a message is given up, counted over reloads (default: 86 400). */
      age?: number;
      /** Where they are kept (default: IndexedDB). */
      store?: MessageStore;
    },
  );
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  readonly age: number;
  readonly store: MessageStore;
  /** The messages of earlier pages, as they were in the store when it was opened, in order. */
  readonly restored: StoredMessage[];
}

export interface RotationOptions<M = any> {
  /** Equal for the two copies of one message, and for no others; null: it has none, and is delivered from both. */
  identity: (message: M) => string | number | bigint | null | undefined;
  /** Seconds after which a connection is replaced, or up to a tenth less, at random; null: at no age. */
  age?: number | null;
  /** True of a message with which the server announces its close. */
  announced?: ((message: M) => boolean) | null;
  /** Seconds for which the successor has been subscribed when it takes over (default: 1). */
  overlap?: number;
  /** Where the server refuses a second connection, the first is closed before the next is opened (default: true). */
  closeFirst?: boolean;
  /** Seconds until a rotation by age or announcement that failed is tried again (default: 60). */
  retry?: number;
}
/** Replacement of a connection by a successor, which is up and has caught up before the old one is closed. */
export declare class Rotation<M = any> implements Required<RotationOptions<M>> {
  constructor(options: RotationOptions<M>);
  readonly identity: RotationOptions<M>['identity'];
  readonly age: number | null;
  readonly announced: ((message: M) => boolean) | null;
  readonly overlap: number;
  readonly closeFirst: boolean;
  readonly retry: number;
}

// --- protocols ------------------------------------------------------------------------------------------------------------

/** What a WebSocket delivers. */
export type Frame = string | ArrayBuffer;
/** What a WebSocket sends. */
export type OutgoingFrame = string | ArrayBuffer | ArrayBufferView;

export interface Target {
  url: string;
  subprotocols: string[];
}
export interface TokenPlace {
  put(target: Target, token: string): Target;
}
export declare class TokenQuery implements TokenPlace {
  constructor(name?: string);
  put(target: Target, token: string): Target;
}
export declare class TokenSubprotocol implements TokenPlace {
  constructor(prefix?: string);
  put(target: Target, token: string): Target;
}

export type Action<M> =
  | { type: 'send'; data: OutgoingFrame }
  | { type: 'deliver'; message: M }
  | { type: 'ready'; resumed: boolean; first: OutgoingFrame[] }
  | { type: 'fail'; error: OnesocketError; code: number; reason: string; dead: boolean }
  | { type: 'extend'; seconds: number }
  | { type: 'wakeAt'; at: number | null };

/** What the frames of a connection mean; `M`: the messages that are received, `S`: those that are sent. */
export declare class Protocol<M = unknown, S = unknown> {
  subprotocols: string[];
  tokenPlace: TokenPlace | null;
  sendsToken: boolean;
  eventOf: ((message: M) => unknown) | null;
  pace: Pace | null;
  requests: Requests | null;
  subscriptions: Subscriptions | null;
  snapshot: LastValues | SnapshotHook | null;
  acknowledges: Acknowledgement | null;
  ghostSeconds: number;
  prepare(target: Target, token: string | null): Target;
  opened(token: string | null, now: number): Action<M>[];
  received(data: Frame, now: number): Action<M>[];
  wake(now: number): Action<M>[];
  probe(now: number, seconds: number): Action<M>[];
  encode(message: S): OutgoingFrame;
  closing(code: number): void;
  /** The protocol of a second connection beside this one, for a `Rotation`; without it there are none. */
  successor?(): Protocol<M, S>;
  closed(code: number, reason: string): OnesocketError | null;
  lost(now: number): void;
}

export interface LoginOptions<M = any> {
  request?: ((token: string | null) => unknown) | null;
  ready?: ((message: M) => boolean) | null;
  refused?: ((message: M) => string | OnesocketError | null | undefined | false) | null;
}
export declare class Login<M = any> {
  constructor(options?: LoginOptions<M>);
}
export declare class Heartbeat<M = any> {
  constructor(options: {
    message?: unknown;
    interval?: number | null;
    timeout?: number | null;
    answer?: ((message: M) => boolean) | null;
    reply?: ((message: M) => unknown) | null;
  });
}
export declare class Pace {
  constructor(count: number, options?: { per?: number });
  /** Returns the same limit for another connection. */
  another(): Pace;
}
export type RequestId = string | number;
export declare class Requests<M = any> {
  constructor(options?: {
    id?: string;
    makeId?: (number: number) => RequestId;
    idOf?: ((message: M) => RequestId | null | undefined) | null;
    withId?: ((message: any, id: RequestId) => any) | null;
    refused?: ((answer: M) => string | OnesocketError | null | undefined | false) | null;
    last?: ((answer: M) => boolean) | null;
    stop?: ((request: any) => unknown) | null;
  });
}
/** An answer to a message that subscribes; `keys` null: it is about all of the oldest one that has no answer. */
export declare class SubscriptionAnswer {
  constructor(keys?: string | Iterable<unknown> | null, options?: { refused?: string | null });
  readonly keys: readonly unknown[] | null;
  readonly refused: string | null;
}
/** The messages that subscribe a connection to keys, and the limits of the service. */
export declare class Subscriptions<M = any> {
  constructor(options: {
    /** Returns the message for a list of keys; a generator yields several. */
    subscribe: (keys: any[]) => unknown;
    unsubscribe?: ((keys: any[]) => unknown) | null;
    key?: ((message: M) => unknown) | null;
    wildcard?: ((key: any) => unknown) | null;
    ack?: ((message: M) => SubscriptionAnswer | Iterable<SubscriptionAnswer> | null | undefined) | null;
    batch?: number | null;
    limit?: number | null;
    pace?: Pace | null;
    requests?: boolean;
  });
  keysOf(message: M): unknown[];
}
/** How the peer acknowledges messages, for a `DurableOutbox`. */
export declare class Acknowledgement<M = any, S = any> {
  constructor(options: {
    /** The id of a message to be sent; null: it is not acknowledged, and so not kept. */
    idOf: (message: S) => MessageId | null | undefined;
    /** The id that a received message acknowledges, or refuses for good; null: it is no acknowledgement. */
    acknowledgedBy: (message: M) => MessageId | null | undefined;
  });
  readonly idOf: (message: S) => MessageId | null | undefined;
  readonly acknowledgedBy: (message: M) => MessageId | null | undefined;
}
/** The newest message of each key, for late readers. */
export declare class LastValues<M = any> {
  constructor(options?: { key?: string | ((message: M) => unknown) | null; limit?: number });
}
/** What late readers begin with, kept by functions of the program. */
export declare class SnapshotHook<M = any> {
  constructor(options: {
    messages: () => Iterable<M>;
    update?: ((message: M) => unknown) | null;
    reset?: (() => unknown) | null;
  });
}
export interface CodecOptions<M = any, S = any> {
  login?: Login | null;
  /** The key of an event's name in a message, or a function that finds it. */
  event?: string | ((message: M) => unknown) | null;
  subprotocols?: Iterable<string>;
  tokenPlace?: TokenPlace | null;
  pace?: Pace | null;
  heartbeat?: Heartbeat | null;
  /** Returns the messages to send on each new connection, after the login. */
  onReady?: (() => Iterable<S>) | null;
  requests?: Requests | null;
  subscriptions?: Subscriptions | null;
  /** What late readers begin with; null: with the next message. */
  snapshot?: LastValues<M> | SnapshotHook<M> | null;
  /** How the peer acknowledges messages, for a `DurableOutbox`; null: it doesn't. */
  acknowledges?: Acknowledgement<M, S> | null;
  closed?: ((code: number, reason: string) => OnesocketError | null | undefined) | null;
  ghostSeconds?: number;
}
export declare abstract class CodecProtocol<M = unknown, S = unknown> extends Protocol<M, S> {
  constructor(options?: CodecOptions<M, S>);
  successor(): Protocol<M, S>;
  abstract decode(data: Frame): M;
  abstract encode(message: S): OutgoingFrame;
}
export declare class Raw extends CodecProtocol<Frame, OutgoingFrame> {
  constructor(options?: CodecOptions<Frame, OutgoingFrame>);
  decode(data: Frame): Frame;
  encode(message: OutgoingFrame): OutgoingFrame;
}
export declare class Json<M = any, S = any> extends CodecProtocol<M, S> {
  constructor(options?: CodecOptions<M, S>);
  decode(data: Frame): M;
  encode(message: S): string;
}

export interface Dispatch {
  readonly event: string | null;
  readonly sequence: number | null;
  readonly data: any;
}
export declare class Discord extends Protocol<Dispatch, { op: number; d: unknown }> {
  constructor(options: {
    intents: number;
    shard?: [number, number] | null;
    presence?: object | null;
    largeThreshold?: number | null;
    properties?: object;
    /** Seconds between heartbeats at most (default: null, as the server says). */
    heartbeat?: number | null;
    snapshot?: LastValues<Dispatch> | SnapshotHook<Dispatch> | null;
  });
}

// --- the client -----------------------------------------------------------------------------------------------------------

/** A string, or a function, asked for each attempt; it is told of the token that the server refused, and why. */
export type Token = string | ((previous: string | null, error: OnesocketError | null) => Maybe<string | null>);

export interface Logger {
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
}

export interface ClientOptions<M = Frame, S = OutgoingFrame> {
  token?: Token | null;
  /** What the frames mean (default: `new Raw()`). */
  protocol?: Protocol<M, S>;
  subprotocols?: Iterable<string>;
  /** Seconds for one attempt, from asking for the token to the end of the login (default: 10). */
  openTimeout?: number;
  /** Seconds for one close handshake (default: 5). */
  closeTimeout?: number;
  /** Seconds without a message until a connection is replaced (default: null, never). */
  silenceTimeout?: number | null;
  /** True of the messages whose absence counts (default: null, of all). */
  silenceOf?: ((message: M) => boolean) | null;
  /** How a lost connection is resumed; null: it is not. */
  reconnect?: ReconnectPolicy | null;
  /** How a connection is replaced by a successor without a hole; null: it is not. */
  rotation?: Rotation | null;
  /** How many messages wait for the connection, and how long; or where they are kept; null: none do. */
  outbox?: OutboxLimits | DurableOutbox | null;
  /** Called with errors of readers, and with each failed delivery that is not awaited. */
  onError?: (error: unknown) => void;
  /** Where losses are logged (default: `console`); null: nowhere. */
  logger?: Logger | null;
  /** The class of sockets (default: that of the browser, or of Node.js). */
  WebSocket?: new (url: string, subprotocols: string[]) => any;
  /** Clock, timers and chance, for tests. */
  platform?: Partial<Platform>;
}
export interface Platform {
  now(): number;
  date(): number;
  setTimer(seconds: number, call: () => void): () => void;
  random(): number;
  /** Calls the function whenever the network is back; returns the function that ends that. */
  onOnline(call: () => void): () => void;
}

export interface Change {
  readonly at: number;
  readonly old: State;
  readonly new: State;
  readonly epoch: number;
  readonly cause: string;
  readonly error: OnesocketError | null;
}
/** The server's answer to the upgrade, as far as a page is told. */
export interface Handshake {
  /** The offered sub-protocol that the server has chosen; null: none. */
  readonly subprotocol: string | null;
}
export interface Status {
  readonly url: string;
  /** Of the present connection; null: there is none. */
  readonly handshake: Handshake | null;
  readonly state: State;
  readonly epoch: number;
  /** Failures in a row since a connection last proved itself. */
  readonly attempt: number;
  readonly lastError: OnesocketError | null;
  readonly lastLoss: OnesocketError | null;
  readonly lastLostAt: number | null;
  readonly connectedAt: number | null;
  readonly lastConnectedAt: number | null;
  readonly retryIn: number | null;
  readonly callers: number;
  readonly outbox: number;
  readonly inbox: number;
  readonly subscribers: number;
}
export interface Stats {
  readonly attempts: number;
  readonly handshakes: number;
  readonly opened: number;
  readonly joined: number;
  readonly alreadyConnected: number;
  readonly reconnects: number;
  readonly staleDropped: number;
  readonly lateAnswers: number;
  readonly received: number;
  readonly sent: number;
  readonly undecodable: number;
  readonly callbackErrors: number;
  readonly gaps: number;
  readonly overflows: number;
  readonly dropped: number;
}

/** A place in a stream where messages may be missing. */
export declare class Gap {
  readonly reason: GapReason;
  readonly epoch: number;
  readonly missed: number | null;
  readonly error: OnesocketError | null;
  private constructor();
}

export declare class Delivery implements PromiseLike<void> {
  readonly done: boolean;
  readonly error: OnesocketError | null;
  /** Waits as `send()` does: with a `DurableOutbox` until the message is on disk; else, and in a tab, until it is done. */
  accepted(): Promise<void>;
  then<A = void, B = never>(
    onSent?: ((value: void) => A | PromiseLike<A>) | null,
    onFailed?: ((reason: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B>;
  private constructor();
}

export declare class Subscription<T> implements AsyncIterableIterator<T> {
  readonly dropped: number;
  readonly size: number;
  next(): Promise<IteratorResult<T, undefined>>;
  return(value?: undefined): Promise<IteratorResult<T, undefined>>;
  close(): void;
  [Symbol.asyncIterator](): this;
  private constructor();
}

export interface CallbackOptions<M> {
  where?: ((message: M) => boolean) | null;
  /** Keys to subscribe to at the server: only their messages. */
  keys?: string | Iterable<unknown> | null;
}
export interface ReaderOptions<M> extends CallbackOptions<M> {
  limit?: number;
  overflow?: Overflow;
  raiseOnFailure?: boolean;
}
export interface StreamOptions {
  limit?: number;
  overflow?: Overflow;
  /** True: after a loss the request is sent again, and a `Gap` stands in the stream. */
  resend?: boolean;
}
export interface CallOptions {
  /** True: a failed attempt is followed by the next, and the call waits on. */
  retry?: boolean | null;
  /** Withdraws this call alone; the attempt ends with its last caller. */
  signal?: AbortSignal;
}

/** What clients of one's own and clients that tabs share have in common. */
export interface MessageClient<M, S> {
  connect(options?: CallOptions): Promise<Outcome>;
  connectNowait(options?: { retry?: boolean | null }): Outcome;
  reconnect(options?: CallOptions): Promise<Outcome>;
  /** Replaces the connection by a successor, as the option `rotation` says; resolves when the old one is closed. */
  rotate(options?: { signal?: AbortSignal }): Promise<Outcome>;
  /** Sends a heartbeat now: a connection on which no answer comes within `timeout` seconds (4) is lost. */
  probe(options?: { timeout?: number }): Promise<void>;
  disconnect(): Promise<void>;
  close(): Promise<void>;
  readonly isShared: boolean;
  readonly state: State;
  readonly isConnected: boolean;
  readonly epoch: number;
  readonly handshake: Handshake | null;
  readonly status: Status;
  onChange(watcher: (change: Change) => void): () => void;
  changes(): Subscription<Change>;
  waitFor(states: State | readonly State[], options?: { timeout?: number | null }): Promise<State>;
  send(message: S, options?: { resend?: boolean }): Promise<void>;
  sendNowait(message: S, options?: { resend?: boolean }): Delivery;
  request(message: S, options?: { timeout?: number | null; resend?: boolean; signal?: AbortSignal }): Promise<M>;
  requestStream(message: S, options?: StreamOptions): Subscription<M | Gap>;
  subscribe(event: string | null | undefined, options: ReaderOptions<M> & { gaps: false }): Subscription<M>;
  subscribe(event?: string | null, options?: ReaderOptions<M> & { gaps?: boolean }): Subscription<M | Gap>;
  on(call: (message: M) => unknown, options?: CallbackOptions<M> & { gaps?: false }): () => void;
  on(
    event: string | null,
    call: (message: M) => unknown,
    options?: CallbackOptions<M> & { gaps?: false },
  ): () => void;
  on(call: (message: M | Gap) => unknown, options: CallbackOptions<M> & { gaps: true }): () => void;
  off(call: (message: any) => unknown): void;
  [Symbol.asyncIterator](): Subscription<M | Gap>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Exactly one WebSocket, however many ask for it. */
export declare class Client<M = Frame, S = OutgoingFrame> implements MessageClient<M, S> {
  constructor(url: string | URL | (() => Maybe<string | URL>), options?: ClientOptions<M, S>);
  connect(options?: CallOptions): Promise<Outcome>;
  connectNowait(options?: { retry?: boolean | null }): Outcome;
  reconnect(options?: CallOptions): Promise<Outcome>;
  rotate(options?: { signal?: AbortSignal }): Promise<Outcome>;
  probe(options?: { timeout?: number }): Promise<void>;
  disconnect(): Promise<void>;
  close(): Promise<void>;
  readonly isShared: boolean;
  readonly state: State;
  readonly isConnected: boolean;
  readonly epoch: number;
  readonly handshake: Handshake | null;
  readonly status: Status;
  readonly stats: Stats;
  onChange(watcher: (change: Change) => void): () => void;
  changes(): Subscription<Change>;
  waitFor(states: State | readonly State[], options?: { timeout?: number | null }): Promise<State>;
  send(message: S, options?: { resend?: boolean }): Promise<void>;
  sendNowait(message: S, options?: { resend?: boolean }): Delivery;
  request(message: S, options?: { timeout?: number | null; resend?: boolean; signal?: AbortSignal }): Promise<M>;
  requestStream(message: S, options?: StreamOptions): Subscription<M | Gap>;
  subscribe: MessageClient<M, S>['subscribe'];
  on: MessageClient<M, S>['on'];
  off(call: (message: any) => unknown): void;
  [Symbol.asyncIterator](): Subscription<M | Gap>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Makes the client of a token function: the default export of the module of `join()`. */
export type ClientFactory<M = any, S = any> = (token: TokenFunction) => Client<M, S>;
/** Imports that module: `() => import('./feed.js')`. */
export type ClientModule<M = any, S = any> = () => Promise<{ default: ClientFactory<M, S> }>;

export interface JoinOptions {
  token?: ((previous: string | null, error: OnesocketError | null) => Maybe<string | null>) | null;
  /** Tabs with the same key share (default: the module's URL; needed for a function). */
  key?: string;
  /** Starts the shared worker; null, the default for a function: the tabs elect one of them instead. */
  worker?: ((name: string) => SharedWorker) | null;
  onError?: (error: unknown) => void;
}

/** One connection for all tabs of an origin. */
export declare class SharedClient<M = any, S = any> implements MessageClient<M, S> {
  constructor(module: string | URL, options?: JoinOptions);
  constructor(module: ClientModule<M, S>, options: JoinOptions & { key: string });
  connect(options?: CallOptions): Promise<Outcome>;
  connectNowait(options?: { retry?: boolean | null }): Outcome;
  reconnect(options?: CallOptions): Promise<Outcome>;
  rotate(options?: { signal?: AbortSignal }): Promise<Outcome>;
  probe(options?: { timeout?: number }): Promise<void>;
  disconnect(): Promise<void>;
  close(): Promise<void>;
  readonly isShared: boolean;
  readonly state: State;
  readonly isConnected: boolean;
  readonly epoch: number;
  readonly handshake: Handshake | null;
  readonly status: Status;
  onChange(watcher: (change: Change) => void): () => void;
  changes(): Subscription<Change>;
  waitFor(states: State | readonly State[], options?: { timeout?: number | null }): Promise<State>;
  send(message: S, options?: { resend?: boolean }): Promise<void>;
  sendNowait(message: S, options?: { resend?: boolean }): Delivery;
  request(message: S, options?: { timeout?: number | null; resend?: boolean; signal?: AbortSignal }): Promise<M>;
  requestStream(message: S, options?: StreamOptions): Subscription<M | Gap>;
  subscribe: MessageClient<M, S>['subscribe'];
  on: MessageClient<M, S>['on'];
  off(call: (message: any) => unknown): void;
  [Symbol.asyncIterator](): Subscription<M | Gap>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}
/**
 * Returns a handle on the connection that all tabs of this origin share. `module`: the URL of a module whose default
 * export makes the client: `(token) => new Client(url, { token, … })`; or a function that imports it, with a `key`.
 */
export declare function join<M = any, S = any>(module: string | URL, options?: JoinOptions): SharedClient<M, S>;
export declare function join<M = any, S = any>(
  module: ClientModule<M, S>,
  options: JoinOptions & { key: string },
): SharedClient<M, S>;

// --- providers and notices --------------------------------------------------------------------------------------------------

export interface Notice {
  readonly id: string;
  readonly level: NoticeLevel;
  readonly title: string;
  readonly text: string;
  readonly since: number;
}
export interface NoticeSink {
  show(notice: Notice): unknown;
  withdraw(id: string): unknown;
}
export declare class Notices {
  constructor(sinks?: NoticeSink[], options?: { date?: () => number });
  readonly active: readonly Notice[];
  add(sink: NoticeSink): () => void;
  post(id: string, level: NoticeLevel, title: string, text: string): Notice;
  withdraw(...ids: string[]): void;
}
export declare class CallableSink implements NoticeSink {
  constructor(show: (notice: Notice) => unknown, withdraw?: (id: string) => unknown);
  show(notice: Notice): unknown;
  withdraw(id: string): unknown;
}
export declare class ConsoleSink implements NoticeSink {
  show(notice: Notice): void;
  withdraw(id: string): void;
}

export declare class Identity {
  constructor(key: string, token: string);
  readonly key: string;
  readonly token: string;
}
export type Auth = (
  previous: string | null,
  error: OnesocketError | null,
) => Maybe<Identity | string | null | undefined>;
export interface ProviderOptions {
  auth: Auth;
  notices?: Notices | NoticeSink | null;
  /** Seconds that `auth` may take (default: 10). */
  authTimeout?: number;
  /** Name of the server in notices. */
  service?: string;
}
export interface ProviderStatus {
  readonly service: string;
  readonly isHeld: boolean;
  readonly isClosed: boolean;
  readonly isConnecting: boolean;
  readonly callers: number;
  readonly client: Status | null;
  readonly notices: readonly Notice[];
}
export type TokenFunction = (previous: string | null, error: OnesocketError | null) => Promise<string>;

/** Provides all components of a page with the one client of the signed-in identity. */
export declare class Provider<C extends MessageClient<any, any> = Client> {
  constructor(makeClient: (token: TokenFunction) => C, options: ProviderOptions);
  constructor(url: string | URL, options: ProviderOptions);
  readonly service: string;
  readonly notices: Notices;
  readonly client: C | null;
  readonly status: ProviderStatus;
  onChange(watcher: () => void): () => void;
  connectIfAuthenticated(options?: { signal?: AbortSignal }): Promise<Outcome>;
  login(identity?: Identity | string | null, options?: { signal?: AbortSignal }): Promise<Outcome>;
  logout(): Promise<void>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
