// The handle of one tab on a connection that all tabs of an origin share.

import { Delivery } from '../client/delivery.js';
import { Gap } from '../client/gap.js';
import { makeParts, MessageClient } from '../client/message-client.js';
import { ClientClosed, InvalidOption, ManuallyDisconnected, OwnerLost, UsageError, VersionMismatch } from '../errors.js';
import { GapReason, Outcome, State } from '../lifecycle/table.js';
import { platform as defaultPlatform, reportToConsole } from '../platform.js';
import { AnswerStreams } from './answer-streams.js';
import { ChannelLink } from './channel-link.js';
import { memberLock, VERSION } from './owner.js';
import { KeyReaders } from './key-readers.js';
import { PendingCalls } from './pending-calls.js';
import { packError, unpackError, unpackGap, unpackItem, unpackState } from './serialization.js';
import { WorkerLink } from './worker-link.js';

const REQUEST_TIMEOUT = 10;
/** The status before the owner has told its own. */
const NO_STATUS = Object.freeze({
  url: '',
  handshake: null,
  state: State.DISCONNECTED,
  epoch: 0,
  attempt: 0,
  lastError: null,
  lastLoss: null,
  lastLostAt: null,
  connectedAt: null,
  lastConnectedAt: null,
  retryIn: null,
  callers: 0,
  outbox: 0,
});

const startWorker = (name) => new SharedWorker(new URL('./worker.js', import.meta.url), { type: 'module', name });

// Not for a bundler: it would look for the module when it builds.
const importModule = (url) => import(/* @vite-ignore */ /* webpackIgnore: true */ url);

/**
 * One connection for all tabs of an origin. `module`: the URL of a module whose default export makes the client of a
 * token function, `(token) => new Client(url, {token, …})`: it is imported where the connection is. Or a function that
 * imports it, `() => import('./feed.js')`, as bundlers know it.
 *
 * Options: `token(previous, error)`; `key`: tabs with the same one share (default: the module's URL); `worker`: a
 * function of a name that starts the shared worker, null: the tabs elect one of them instead. For a module that a function
 * imports, that is the default, and the worker one that calls `serve(makeClient)`.
 */
export class SharedClient extends MessageClient {
  #module;
  #load;
  #token;
  #fanOut;
  #report;
  #tell;
  #link;
  #calls;
  #readers = new KeyReaders((message) => this.#post(message));
  #streams = new AnswerStreams((message) => this.#post(message));
  #member = crypto.randomUUID();
  #owner = null;
  #welcomedBy = null;
  /** The owner's refusal to have this tab as a member, until another one is there, or a call asks again. */
  #refusal = null;
  #status = NO_STATUS;
  #statusAt = 0;
  #lastEpoch = 0;
  #wasConnected = false;
  /** True once an owner has welcomed this tab. */
  #isMember = false;
  /** Readers that wait for the snapshot with which they begin. */
  #lateReaders = new Map();
  #numbers = 0;
  /** The loss of the last owner, until the next one is connected; and the last one, which is kept. */
  #loss = null;
  #lastLoss = null;
  #outage = null;
  #platform;
  #isClosed = false;
  #leave;
  #left = new Promise((resolve) => {
    this.#leave = resolve;
  });

  constructor(module, { token = null, key, worker, onError = reportToConsole, platform, ...unknown } = {}) {
    const [unknownName] = Object.keys(unknown);
    if (unknownName !== undefined) throw new InvalidOption(`join() has no option ${unknownName}`);
    if (token !== null && typeof token !== 'function') throw new InvalidOption('token must be a function that returns one');
    if (!globalThis.navigator?.locks) {
      throw new UsageError('tabs share by Web Locks, which a page has only in a secure context (https, localhost)');
    }
    const parts = makeParts({ eventOf: () => null, onError, platform: { ...defaultPlatform, ...platform } });
    super(parts);
    this.#fanOut = parts.fanOut;
    this.#fanOut.useKeys(this.#readers);
    this.#report = parts.report;
    this.#tell = parts.tell;
    this.#platform = parts.platform;
    const isFunction = typeof module === 'function';
    if (isFunction && (typeof key !== 'string' || key === '')) {
      throw new InvalidOption('join() with a function needs key, by which tabs know what they share');
    }
    this.#module = isFunction ? `(a function of ${key})` : String(new URL(module, globalThis.location?.href));
    this.#load = isFunction ? module : importModule;
    this.#token = token;
    const post = (message) => this.#post(message);
    this.#calls = new PendingCalls({ post, onWait: () => this.#askAgain(), platform: parts.platform });
    this.#link = this.#makeLink(key ?? this.#module, isFunction ? (worker ?? null) : worker);
    this.#hold();
  }

  #makeLink(key, worker) {
    const about = {
      onMessage: (message) => this.#received(message),
      onFailure: (error) => this.#refused(error),
    };
    const load = async (url) => (await this.#load(url)).default;
    const elect = () => new ChannelLink(key, { ...about, member: this.#member, load });
    if (worker === null || typeof SharedWorker !== 'function') return elect();
    // Where the browser starts no worker for this page, the tabs elect one of them, unless the worker is the program's own.
    const onFailure = (error) => {
      if (worker !== undefined) return this.#refused(error);
      this.#link = elect();
      return this.#isClosed ? undefined : this.#link.start();
    };
    return new WorkerLink(key, { ...about, onFailure, makeWorker: worker ?? startWorker });
  }

  /** Holds a lock as long as this tab lives and has not left: so its end is noticed. Then joins. */
  async #hold() {
    try {
      await navigator.locks.request(memberLock(this.#member), () => {
        if (this.#isClosed) return undefined;
        this.#link.start();
        return this.#left;
      });
    } catch (cause) {
      this.#refused(new UsageError('this page may not use Web Locks, by which tabs share', { cause }));
    }
  }

  // --- what the owner sends -----------------------------------------------------------------------------------------------

  #received(message) {
    if (this.#isClosed) return;
    if (message.type === 'owner') this.#joinOwner(message);
    else if (message.type === 'lost') this.#ownerLost();
    else if (message.owner === this.#owner) this.#receivedFromOwner(message);
  }

  #joinOwner({ owner, version }) {
    if (owner === this.#owner) return;
    if (this.#owner !== null) this.#ownerLost();
    if (version !== VERSION) {
      this.#refused(new VersionMismatch('tabs of another version of the client have the connection: reload them, or this one'));
      return;
    }
    this.#owner = owner;
    this.#postJoin();
  }

  /** No owner has welcomed this tab for seconds: what it has sent may be lost, as an owner may have begun just then. */
  #askAgain() {
    if (this.#owner === null) this.#link.ask();
    else this.#postJoin();
  }

  #postJoin() {
    this.#refusal = null;
    const isStopped = [State.STOPPED, State.FAILED, State.DISCONNECTED].includes(this.#status.state);
    const lastState = this.#wasConnected && !isStopped ? State.CONNECTED : this.#status.state;
    const about = { module: this.#module, hasToken: this.#token !== null, version: VERSION };
    this.#post({ type: 'join', ...about, lastEpoch: this.#lastEpoch, lastState, outage: this.#outage });
  }

  #receivedFromOwner(message) {
    this.#calls.heard();
    switch (message.type) {
      case 'welcome':
        if (this.#welcomedBy === message.owner) break; // it was asked twice
        this.#welcomedBy = message.owner;
        this.#adopt(unpackState(message.status), 'OwnerFound');
        this.#beginWith(message.snapshot);
        this.#readers.open();
        this.#streams.ownerFound(message.status.epoch);
        this.#calls.open();
        break;
      case 'stranger': {
        // The owner has taken this tab for gone, or never had it: what it was asked for is lost.
        const { owner } = message;
        this.#ownerLost();
        this.#welcomedBy = null;
        this.#joinOwner({ owner, version: VERSION });
        break;
      }
      case 'refused':
        this.#refused(unpackError(message.error));
        break;
      case 'item':
        if (this.#isMember) this.#publish(message); // what came before is in the snapshot, if there is one
        break;
      case 'snapshot':
        this.#lateReaders.get(message.id)?.(message.items.map(unpackItem));
        this.#lateReaders.delete(message.id);
        break;
      case 'change':
        this.#adopt(unpackState(message.status), message.change.cause, unpackState(message.change));
        break;
      case 'stream':
        this.#streams.received(message);
        break;
      case 'keys refused':
        this.#readers.refused(message.id, unpackError(message.error));
        break;
      case 'answer':
        this.#calls.answer(message.id, unpackError(message.error), message.value);
        break;
      case 'token':
        this.#giveToken(message);
        break;
      default: // a sign of life, or of a later version
    }
  }

  #publish({ gap, item, about }) {
    if (gap) this.#fanOut.announce(unpackGap(gap));
    else this.#fanOut.publish(item, about);
  }

  /** A new member's first readers begin with the snapshot of this moment; null: there is none, for late readers either. */
  #beginWith(snapshot) {
    if (!this.#isMember) for (const item of snapshot ?? []) this.#publish(item);
    this.#isMember = true;
    if (snapshot !== null) this.#fanOut.useSnapshots(null, (add) => this.#beginLate(add));
  }

  #beginLate(add) {
    if (this.#owner === null) {
      add([]);
      return;
    }
    this.#numbers += 1;
    this.#lateReaders.set(this.#numbers, add);
    this.#post({ type: 'snapshot', id: this.#numbers });
  }

  /** This tab is no member: calls fail, and the next one asks again. */
  #refused(error) {
    this.#refusal = error;
    this.#calls.rejectAll(error);
    this.#streams.endAll(error);
    this.#fanOut.fail(error);
  }

  /** Takes the owner's state for that of this handle. */
  #adopt(status, cause, change = null) {
    const old = this.#status.state;
    this.#status = status;
    this.#statusAt = this.#platform.date();
    this.#lastEpoch = Math.max(this.#lastEpoch, status.epoch);
    if (status.state === State.CONNECTED) this.#connected(status.epoch);
    if (status.state === State.FAILED && change !== null && change.error !== null && this.#wasConnected) {
      this.#fanOut.fail(change.error);
    }
    const isRotated = change !== null && change.old === change.new;
    if (old !== status.state || isRotated) this.#tellChange(old, cause, change?.error ?? null);
  }

  #connected(epoch) {
    this.#fanOut.ready(epoch);
    if (this.#loss !== null) {
      this.#fanOut.announce(new Gap(GapReason.RECONNECTED, { epoch, error: this.#loss }));
      this.#loss = null;
    }
    this.#wasConnected = true;
  }

  #tellChange(old, cause, error) {
    const { state, epoch } = this.#status;
    this.#tell(Object.freeze({ at: Date.now() / 1000, old, new: state, epoch, cause, error }));
  }

  /** The tab, or the worker, that had the connection is gone; another one takes over. */
  #ownerLost() {
    if (this.#owner === null) return;
    this.#owner = null;
    const error = new OwnerLost('the tab that held the connection is gone; another one takes over');
    this.#calls.ownerLost();
    this.#readers.ownerLost();
    for (const add of this.#lateReaders.values()) add([]);
    this.#lateReaders.clear();
    this.#streams.ownerLost(error);
    this.#outage = this.#describeOutage();
    if (this.#status.state === State.CONNECTED || this.#status.state === State.BACKING_OFF) {
      const old = this.#status.state;
      if (this.#wasConnected) this.#loss ??= error;
      this.#lastLoss = error;
      const { BACKING_OFF } = State;
      this.#status = Object.freeze({ ...this.#status, state: BACKING_OFF, handshake: null, lastError: error });
      if (old !== State.BACKING_OFF) this.#tellChange(old, 'OwnerLost', error);
    }
  }

  /** What the next owner has to know of the failures that the last one has counted; null: it was connected, or at rest. */
  #describeOutage() {
    const { state, attempt, lastLostAt, lastError } = this.#status;
    if (![State.BACKING_OFF, State.CONNECTING, State.CLOSING].includes(state) || attempt === 0) return null;
    const away = lastLostAt === null ? 0 : this.#platform.date() - lastLostAt;
    return { failures: attempt, away, backOff: this.#retryIn ?? 0, error: packError(lastError) };
  }

  /** Seconds until the next attempt, of which the owner tells once; null: there is none. */
  get #retryIn() {
    const { retryIn } = this.#status;
    return typeof retryIn === 'number' ? Math.max(0, retryIn - (this.#platform.date() - this.#statusAt)) : null;
  }

  async #giveToken({ id, previous, error }) {
    const answer = { type: 'token', id };
    try {
      const token = await this.#token(previous, unpackError(error));
      this.#post({ ...answer, token: token ?? null });
    } catch (failure) {
      this.#report(failure); // here alone, as its text may hold a secret
      this.#post(answer);
    }
  }

  // --- calls ------------------------------------------------------------------------------------------------------------

  async #call(name, about) {
    this.#checkMember();
    return this.#calls.add(name, about);
  }

  /** Throws if this tab has left, or can't be a member; an owner that has refused it is asked again. */
  #checkMember() {
    if (this.#isClosed) throw new ClientClosed();
    if (this.#refusal === null) return;
    if (this.#owner === null) throw this.#refusal.copy();
    this.#postJoin();
  }

  #post(message) {
    this.#link.post({ ...message, member: this.#member, owner: this.#owner });
  }

  /** Opens the shared connection, or joins the attempt in flight; `signal` withdraws this call alone. */
  async connect({ retry = null, signal } = {}) {
    return this.#call('connect', { options: { retry }, signal });
  }

  /** Starts or finds the attempt, and returns the outcome so far as this tab knows it; a failure goes to `onError`. */
  connectNowait({ retry = null } = {}) {
    this.#checkOpen();
    const { state } = this;
    if (state === State.CONNECTED) return Outcome.ALREADY_CONNECTED;
    this.#calls.add('connectNowait', { options: { retry } }).catch((error) => this.#reportUnless(error));
    return state === State.CONNECTING ? Outcome.JOINED : Outcome.OPENED;
  }

  /** As `#checkMember`; throws `ManuallyDisconnected`, too. */
  #checkOpen() {
    this.#checkMember();
    if (this.state === State.STOPPED) throw new ManuallyDisconnected();
  }

  #reportUnless(error) {
    if (!(error instanceof ClientClosed)) this.#report(error);
  }

  /** Lifts a `disconnect()`, closes the shared connection if it is open, and opens a new one: for all tabs. */
  async reconnect({ retry = null, signal } = {}) {
    return this.#call('reconnect', { options: { retry }, signal });
  }

  /** Replaces the shared connection by a successor, for all tabs: its client has the option `rotation`. */
  async rotate({ signal } = {}) {
    return this.#call('rotate', { signal });
  }

  /** Sends a heartbeat on the shared connection now; see `Client.probe()`. */
  async probe(options = {}) {
    await this.#call('probe', { options });
  }

  /** Closes the shared connection for all tabs, and holds it closed: only `reconnect()` lifts that. */
  async disconnect() {
    await this.#call('disconnect');
  }

  /** Leaves: the last tab that leaves closes the connection. All streams of this handle end. */
  async close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#owner !== null) this.#post({ type: 'leave' });
    const old = this.#status.state;
    this.#status = Object.freeze({ ...this.#status, state: State.CLOSED, handshake: null });
    this.#calls.close();
    this.#streams.endAll();
    this.#tellChange(old, 'Close', null);
    await this.#link.close();
    this.#leave();
  }

  /** True: `close()` leaves the connection to the others. */
  get isShared() {
    return true;
  }

  get state() {
    return this.#status.state;
  }

  /**
   * The status of the shared connection, as this tab knows it; `subscribers` and `inbox` are those of this handle, `outbox` is its
   * messages without an answer of the owner.
   */
  get status() {
    const { inbox, subscribers } = this.#fanOut;
    const lastLoss = this.#status.lastLoss ?? this.#lastLoss;
    const outbox = this.#calls.messages;
    return Object.freeze({ ...this.#status, lastLoss, retryIn: this.#retryIn, outbox, inbox, subscribers });
  }

  /** Resolves when the browser has written the message, or, with a `DurableOutbox`, when it is on disk. */
  async send(message, { resend = false } = {}) {
    await this.#call('send', { message, options: { resend } });
  }

  /**
   * Accepts a message and returns its `Delivery`, which is done when the message is settled where the connection is. Throws
   * `OutboxFull`, and as a call that is not possible.
   */
  sendNowait(message, { resend = false } = {}) {
    this.#checkOpen();
    const delivery = new Delivery(() => message, { resend });
    const settle = (error = null) => {
      const isHeard = delivery.isAwaited;
      delivery.settle(error);
      if (error !== null && !isHeard) this.#reportUnless(error);
    };
    this.#calls.add('sendNowait', { message, options: { resend } }).then(() => settle(), settle);
    return delivery;
  }

  /** Sends a request and resolves with the answer to it. */
  async request(message, { timeout = REQUEST_TIMEOUT, resend = false, signal } = {}) {
    return this.#call('request', { message, options: { timeout, resend }, signal });
  }

  /** As `Client.requestStream()`: a stream of this tab. */
  requestStream(message, { limit, overflow, resend = false } = {}) {
    this.#checkMember();
    return this.#streams.open(message, { limit, overflow, resend });
  }
}

/** Returns a handle on the connection that all tabs of this origin share; see `SharedClient`. */
export const join = (module, options) => new SharedClient(module, options);

