// A program that uses every export of the package: `tsc` checks it, and a test runs it against a server that echoes.

import {
  Abandoned,
  Acknowledgement,
  type Action,
  type Auth,
  AuthTimeout,
  type CallbackOptions,
  CallableSink,
  type CallOptions,
  type Change,
  Client,
  ClientClosed,
  type ClientFactory,
  type ClientModule,
  type ClientOptions,
  ClosedByPeer,
  type CodecOptions,
  CodecProtocol,
  ConnectAborted,
  ConnectFailed,
  ConnectionFailure,
  ConnectionRefused,
  ConnectionReset,
  ConsoleSink,
  DecodeError,
  Delivery,
  DeliveryUnknown,
  Discord,
  type Dispatch,
  DuplicateMessage,
  DurableOutbox,
  EncodeError,
  type ErrorOptions,
  type Frame,
  Gap,
  GapReason,
  type Handshake,
  HandshakeRejected,
  Heartbeat,
  Identity,
  InvalidOption,
  InvalidURL,
  join,
  type JoinOptions,
  Json,
  LastValues,
  type Logger,
  Login,
  type LoginOptions,
  LoginRefused,
  ManuallyDisconnected,
  type MessageClient,
  MessageExpired,
  type MessageId,
  MessageKept,
  MessageNotStored,
  type MessageStore,
  NoCurrentProvider,
  type Notice,
  NoticeId,
  NoticeLevel,
  Notices,
  type NoticeSink,
  OnesocketError,
  type OpenMessageStore,
  OpenTimeout,
  OptionConflict,
  Outcome,
  OutboxFull,
  OutboxInUse,
  OutboxLimits,
  OutboxUnusable,
  type OutgoingFrame,
  Overflow,
  OwnerLost,
  OwnerSilent,
  Pace,
  PeerError,
  PingTimeout,
  type Platform,
  Protocol,
  Provider,
  type ProviderOptions,
  type ProviderStatus,
  Raw,
  type ReaderOptions,
  type ReconnectOptions,
  ReconnectPolicy,
  type RequestId,
  RequestLost,
  RequestRefused,
  Requests,
  RequestTimeout,
  RetriesExhausted,
  Rotation,
  type RotationOptions,
  ServerBusy,
  SessionExpired,
  SharedClient,
  SilenceTimeout,
  SlowConsumer,
  SnapshotHook,
  State,
  type Stats,
  type Status,
  type StoredMessage,
  type StoredRow,
  type StoreOperation,
  type StreamOptions,
  Subscription,
  SubscriptionAnswer,
  SubscriptionRefused,
  Subscriptions,
  type Target,
  type Token,
  TokenFailed,
  type TokenFunction,
  type TokenPlace,
  TokenQuery,
  TokenSubprotocol,
  URLFailed,
  UsageError,
  Verdict,
  VersionMismatch,
  WaitTimeout,
} from 'onesocket';

declare const process: { argv: string[] };

interface Note {
  type: string;
  n: number;
  id?: RequestId;
  key?: string;
}

function check(isSo: boolean, what: string): asserts isSo {
  if (!isSo) throw new Error(`not so: ${what}`);
}

// --- errors: each is known by its class, and says whether a retry can help --------------------------------------------------

const about: ErrorOptions = { retryable: true, retryAfter: 2, cause: new Error('why') };
const errors: OnesocketError[] = [
  new OnesocketError('text', about),
  new UsageError('text'),
  new InvalidURL('text'),
  new InvalidOption('text'),
  new OptionConflict('text', { ...about }),
  new EncodeError('text'),
  new TokenFailed('text'),
  new SessionExpired('text'),
  new URLFailed('text'),
  new ManuallyDisconnected(),
  new ClientClosed(),
  new OutboxUnusable('text'),
  new OutboxInUse('text'),
  new DuplicateMessage('text'),
  new NoCurrentProvider('text'),
  new PeerError('text'),
  new HandshakeRejected('text', { status: 503 }),
  new VersionMismatch('text'),
  new DecodeError('text', { data: 'frame' }),
  new SubscriptionRefused('text', { keys: ['a'], reason: 'no' }),
  new RequestRefused('text', { answer: 1 }),
  new LoginRefused('text'),
  new ServerBusy('text', { code: 1013, reason: 'later', status: 429 }),
  new ConnectionFailure('text'),
  new ConnectFailed('text'),
  new ConnectionRefused('text'),
  new OpenTimeout('text'),
  new OwnerSilent('text'),
  new ClosedByPeer('text', { code: 1001, reason: 'bye' }),
  new ConnectionReset('text'),
  new PingTimeout('text'),
  new SilenceTimeout('text'),
  new DeliveryUnknown('text'),
  new RequestLost('text'),
  new OwnerLost('text'),
  new Abandoned('text'),
  new ConnectAborted('text'),
  new RetriesExhausted('text'),
  new OutboxFull('text'),
  new MessageExpired('text'),
  new MessageNotStored('text'),
  new MessageKept('text'),
  new SlowConsumer('text'),
  new WaitTimeout('text'),
  new RequestTimeout('text'),
  new AuthTimeout('text'),
];
for (const error of errors) check(error.copy().name === error.name && typeof error.retryable === 'boolean', error.name);

// --- protocols ----------------------------------------------------------------------------------------------------------------

class Words extends CodecProtocol<string[], string[]> {
  override decode(data: Frame): string[] {
    if (typeof data !== 'string') throw new DecodeError('no text', { data });
    return data.split(' ');
  }

  override encode(message: string[]): OutgoingFrame {
    return message.join(' ');
  }
}

class Plain extends Protocol<string, string> {
  override received(data: Frame, _now: number): Action<string>[] {
    return [{ type: 'deliver', message: String(data) }];
  }

  override prepare(target: Target, token: string | null): Target {
    return super.prepare(target, token);
  }
}

const place: TokenPlace = new TokenQuery('ticket');
const subprotocol = new TokenSubprotocol('bearer.').put({ url: 'ws://host/', subprotocols: [] }, 'token');
const loginOptions: LoginOptions<Note> = { refused: (message) => (message.type === 'no' ? 'no' : null) };
const hook = new SnapshotHook<Note>({ messages: () => [], update: () => {}, reset: () => {} });
const codec: CodecOptions<Note, Note> = {
  event: 'type',
  login: new Login<Note>(loginOptions),
  tokenPlace: place,
  pace: new Pace(1000, { per: 1 }),
  heartbeat: new Heartbeat<Note>({ message: { type: 'ping', n: 0 }, interval: 60 }),
  requests: new Requests<Note>({ id: 'id', last: ({ n }) => n > 0 }),
  subscriptions: new Subscriptions<Note>({
    subscribe: ([key]) => ({ type: 'subscribe', n: 0, key }),
    unsubscribe: ([key]) => ({ type: 'unsubscribe', n: 0, key }),
    key: (message) => message.key,
    ack: ({ type, key }) => (type === 'subscribe' ? new SubscriptionAnswer([key], { refused: null }) : null),
    batch: 1,
  }),
  snapshot: new LastValues<Note>({ key: 'type', limit: 5 }),
};
const discord = new Discord({ intents: 1, snapshot: new SnapshotHook<Dispatch>({ messages: () => [] }) });

// --- one client ---------------------------------------------------------------------------------------------------------------

const url = process.argv[2]!;
const lines: string[] = [];
const logger: Logger = { info: (text) => lines.push(text), warn: (text) => lines.push(text), error: (text) => lines.push(text) };
const platform: Partial<Platform> = { random: () => 0.5 };
const reconnect: ReconnectOptions = { initial: 0.01, verdict: (error) => (error instanceof PeerError ? Verdict.SLOW : null) };
const rotation: RotationOptions<Note> = { identity: ({ n }) => n, overlap: 0.05 };
const token: Token = async (previous, error) => (error?.retryable ? previous : 'token');
const options: ClientOptions<Note, Note> = {
  token,
  protocol: new Json<Note, Note>(codec),
  reconnect: new ReconnectPolicy(reconnect),
  rotation: new Rotation<Note>(rotation),
  outbox: new OutboxLimits({ messages: 10 }),
  logger,
  platform,
};

const client = new Client<Note, Note>(url, options);
const changes: Change[] = [];
client.onChange((change) => changes.push(change));
const reading: ReaderOptions<Note> = { limit: 10, overflow: Overflow.DROP_OLDEST, where: ({ n }) => n === 1 };
const notes: Subscription<Note | Gap> = client.subscribe('note', reading);
const calling: CallbackOptions<Note> = { keys: ['a'] };
const stopReading = client.on((note) => lines.push(String(note.n)), calling);
const call: CallOptions = { retry: true, signal: AbortSignal.timeout(10_000) };
check((await client.connect(call)) === Outcome.OPENED, 'opened');
const delivery: Delivery = client.sendNowait({ type: 'note', n: 1 });
await delivery;
const { value: note } = await notes.next();
check(!(note instanceof Gap) && note?.n === 1, 'the message has come back');
check((await client.request({ type: 'ask', n: 2 })).n === 2, 'the answer has come');
const streaming: StreamOptions = { resend: true };
for await (const answer of client.requestStream({ type: 'ask', n: 3 }, streaming)) check(!(answer instanceof Gap), 'no gap');
check((await client.rotate()) === Outcome.OPENED, 'rotated');
check((await client.waitFor(State.CONNECTED)) === State.CONNECTED, 'connected');
check(changes.some((change) => change.old === change.new), 'the rotation is told');
const [status, stats]: [Status, Stats] = [client.status, client.stats];
const handshake: Handshake | null = client.handshake;
check(handshake?.subprotocol === null, 'no sub-protocol was offered');
check(status.epoch === 2 && stats.gaps === 0 && GapReason.RECONNECTED === 'reconnected', 'no gap');
stopReading();
await client.close();

// --- a durable outbox, in a store of the program's own --------------------------------------------------------------------------

const disk = new Map<number, StoredRow>();
class MemoryStore implements MessageStore {
  async open(_name: string, _events: { onLost: (why: string) => void }): Promise<OpenMessageStore> {
    const perform = (operation: StoreOperation) =>
      operation.type === 'put' ? disk.set(operation.row.number, operation.row) : disk.delete(operation.number);
    return {
      rows: [...disk.values()],
      apply: async (operations) => operations.forEach(perform),
      close: async () => {},
    };
  }
}
const newId: MessageId = 17;
const acknowledges = new Acknowledgement<Note, Note>({ idOf: ({ id }) => id, acknowledgedBy: ({ id }) => id });
const makeDurable = (outbox: DurableOutbox) =>
  new Client<Note, Note>(url, { outbox, logger: null, protocol: new Json<Note, Note>({ acknowledges }) });
const early = makeDurable(new DurableOutbox('notes', { messages: 5, bytes: 1000, age: 60, store: new MemoryStore() }));
await early.send({ type: 'note', n: 4, id: newId });
await early.close();
const lateOutbox = new DurableOutbox('notes', { store: new MemoryStore() });
const late = makeDurable(lateOutbox);
await late.connect();
const [restored]: StoredMessage[] = lateOutbox.restored;
check(restored?.messageId === newId && !restored.mayHaveArrived, 'the message is there');
const accepted: Delivery = late.sendNowait({ type: 'note', n: 5, id: 'text' });
await accepted.accepted();
await accepted; // this server's echo acknowledges it
await late.close();
check(disk.size === 0, 'all are settled');

// --- users, notices, tabs -----------------------------------------------------------------------------------------------------

const shown: Notice[] = [];
const sink: NoticeSink = new CallableSink((each) => shown.push(each));
const notices = new Notices([sink, new ConsoleSink()].slice(0, 1));
notices.post(NoticeId.SERVICE_BUSY, NoticeLevel.INFO, 'Busy', 'The server is busy.');
check(shown.length === 1, 'the notice is shown');
const auth: Auth = async () => new Identity('alice', 'token');
const providing: ProviderOptions = { auth, notices, service: 'notes' };
const makeClient = (ask: TokenFunction): Client<string[], string[]> =>
  new Client(url, { token: ask, logger: null, protocol: new Words({ tokenPlace: place }) });
const provider = new Provider(makeClient, providing);
check((await provider.connectIfAuthenticated()) === Outcome.OPENED, 'the user is connected');
const providerStatus: ProviderStatus = provider.status;
check(!providerStatus.isHeld, 'not held');
await provider.close();

const joining: JoinOptions = { key: 'mine', worker: null };
const factory: ClientFactory<Note, Note> = (ask) => new Client<Note, Note>(url, { token: ask, protocol: new Json<Note, Note>(codec) });
const module: ClientModule<Note, Note> = async () => ({ default: factory });
const openTab = (isBundled: boolean): SharedClient<Note, Note> =>
  isBundled ? join(module, { key: 'mine' }) : join<Note, Note>('/feed.js', joining);
const any: MessageClient<string, string> = new Client(url, { protocol: new Plain(), logger: null });
await any.connect();
await any.close();
check(typeof openTab === 'function' && typeof SharedClient === 'function', 'tabs are a matter of browsers');
check(subprotocol.subprotocols.length === 1 && discord.ghostSeconds > 0 && hook instanceof SnapshotHook, 'protocols');
check(new Raw().decode('frame') === 'frame', 'frames as they are');
console.log('done');
