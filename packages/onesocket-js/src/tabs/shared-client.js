// The handle of one tab on a connection that all tabs of an origin share.

import { FanOut } from '../client/fan-out.js';
import { Gap } from '../client/gap.js';
import {
  ClientClosed,
  DeliveryUnknown,
  OutboxFull,
  OwnerLost,
  RequestLost,
  UsageError,
} from '../errors.js';
import { GapReason, OUTBOX_DEFAULTS, State } from '../lifecycle/table.js';
import { ChannelLink } from './channel-link.js';
import { memberLock } from './owner.js';
import { unpackError, unpackGap, unpackState } from './serialization.js';
import { WorkerLink } from './worker-link.js';

const REQUEST_TIMEOUT = 10;
/** What a call is answered with that may have been carried out by an owner that is gone. */
const LOST = {
  send: () => new DeliveryUnknown('the tab that held the connection is gone: the message may have been sent'),
  request: () => new RequestLost('the tab that held the connection is gone: the request may have been carried out'),
};
/** The status before the owner has told its own. */
const NO_STATUS = Object.freeze({
  url: '',
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

/**
 * One connection for all tabs of an origin. `module`: the URL of a module whose default export makes the client of a
 * token function, `(token) => new Client(url, {token, …})`: it is imported where the connection is.
 *
 * Options: `token(previous, error)`; `key`: tabs with the same one share (default: the module's URL); `worker`: a
 * function of a name that starts the shared worker, null: the tabs elect one of them instead.
 */
export class SharedClient {
  #module;
  #token;
  #link;
  #member = crypto.randomUUID();
  #owner = null;
  #isWelcome = false;
  #status = NO_STATUS;
  #lastEpoch = 0;
  #wasConnected = false;
  /** The loss of the last owner, until the next one is connected; and the last one, which is kept. */
  #loss = null;
  #lastLoss = null;
  #calls = new Map();
  #numbers = 0;
  #watchers = new Set();
  #fanOut;
  #isClosed = false;
  #leave;

  constructor(module, { token = null, key, worker, onError = (error) => globalThis.reportError(error) } = {}) {
    if (!globalThis.navigator?.locks) {
      throw new UsageError('tabs share by Web Locks, which a page has only in a secure context (https, localhost)');
    }
    this.#module = String(new URL(module, globalThis.location.href));
    this.#token = token;
    const name = key ?? this.#module;
    const hasWorker = worker !== null && (worker !== undefined || typeof SharedWorker === 'function');
    const onMessage = (message) => this.#received(message);
    this.#fanOut = new FanOut({ eventOf: () => null, report: onError });
    this.#link = hasWorker
      ? new WorkerLink(name, { makeWorker: worker ?? startWorker, onMessage })
      : new ChannelLink(name, { member: this.#member, load: async (url) => (await import(url)).default, onMessage });
    // Held as long as this tab lives: so its end is noticed.
    navigator.locks.request(memberLock(this.#member), () => {
      this.#link.start();
      return new Promise((resolve) => {
        this.#leave = resolve;
      });
    });
  }

  // --- what the owner sends -----------------------------------------------------------------------------------------------

  #received(message) {
    if (this.#isClosed) return;
    if (message.type === 'owner') this.#joinOwner(message.owner);
    else if (message.type === 'lost') this.#ownerLost();
    else if (message.owner === this.#owner) this.#receivedFromOwner(message);
  }

  #joinOwner(owner) {
    if (owner === this.#owner) return;
    if (this.#owner !== null) this.#ownerLost();
    this.#owner = owner;
    const isStopped = [State.STOPPED, State.FAILED, State.DISCONNECTED].includes(this.#status.state);
    const lastState = this.#wasConnected && !isStopped ? State.CONNECTED : this.#status.state;
    const about = { module: this.#module, hasToken: this.#token !== null };
    this.#post({ type: 'join', ...about, lastEpoch: this.#lastEpoch, lastState });
  }

  #receivedFromOwner(message) {
    switch (message.type) {
      case 'welcome':
        this.#isWelcome = true;
        this.#adopt(unpackState(message.status), 'OwnerFound');
        for (const call of this.#calls.values()) this.#postCall(call);
        break;
      case 'refused':
        this.#fail(unpackError(message.error));
        break;
      case 'item':
        if (message.gap) this.#fanOut.announce(unpackGap(message.gap));
        else this.#fanOut.publish(message.item, message.event);
        break;
      case 'change':
        this.#adopt(unpackState(message.status), message.change.cause, unpackState(message.change));
        break;
      case 'answer':
        this.#answered(message);
        break;
      case 'token':
        this.#giveToken(message);
        break;
      default: // of a later version
    }
  }

  /** Takes the owner's state for that of this handle. */
  #adopt(status, cause, change = null) {
    const old = this.#status.state;
    this.#status = status;
    this.#lastEpoch = Math.max(this.#lastEpoch, status.epoch);
    if (status.state === State.CONNECTED) this.#connected(status.epoch);
    if (status.state === State.FAILED && change !== null && change.error !== null && this.#wasConnected) {
      this.#fanOut.fail(change.error);
    }
    if (old !== status.state) this.#tell(old, cause, change?.error ?? null);
  }

  #connected(epoch) {
    this.#fanOut.ready(epoch);
    if (this.#loss !== null) {
      this.#fanOut.announce(new Gap(GapReason.RECONNECTED, { epoch, error: this.#loss }));
      this.#loss = null;
    }
    this.#wasConnected = true;
  }

  #tell(old, cause, error) {
    const { state, epoch } = this.#status;
    const change = Object.freeze({ at: Date.now() / 1000, old, new: state, epoch, cause, error });
    for (const watcher of [...this.#watchers]) {
      try {
        watcher(change);
      } catch (failure) {
        this.#fanOut.report(failure);
      }
    }
  }

  /** The tab, or the worker, that had the connection is gone; another one takes over. */
  #ownerLost() {
    if (this.#owner === null) return;
    this.#owner = null;
    this.#isWelcome = false;
    const error = new OwnerLost('the tab that held the connection is gone; another one takes over');
    for (const call of [...this.#calls.values()]) {
      const lost = call.isPosted && !call.options.resend ? LOST[call.name] : undefined;
      call.isPosted = false;
      if (lost) this.#settle(call, lost());
    }
    if (this.#status.state === State.CONNECTED || this.#status.state === State.BACKING_OFF) {
      const old = this.#status.state;
      if (this.#wasConnected) this.#loss ??= error;
      this.#lastLoss = error;
      this.#status = Object.freeze({ ...this.#status, state: State.BACKING_OFF, lastError: error });
      if (old !== State.BACKING_OFF) this.#tell(old, 'OwnerLost', error);
    }
  }

  async #giveToken({ id, previous, error }) {
    const answer = { type: 'token', id };
    try {
      const token = await this.#token(previous, unpackError(error));
      this.#post({ ...answer, token: token ?? null });
    } catch (failure) {
      this.#fanOut.report(failure); // here alone, as its text may hold a secret
      this.#post(answer);
    }
  }

  // --- calls ------------------------------------------------------------------------------------------------------------

  #call(name, { message = null, options = {}, signal } = {}) {
    signal?.throwIfAborted();
    if (this.#isClosed) throw new ClientClosed();
    if (this.#owner === null && this.#calls.size >= OUTBOX_DEFAULTS.messages) {
      throw new OutboxFull(`${this.#calls.size} calls wait for the tab that holds the connection already`);
    }
    this.#numbers += 1;
    const call = { id: this.#numbers, name, message, options, isPosted: false };
    const promise = new Promise((resolve, reject) => Object.assign(call, { resolve, reject }));
    this.#calls.set(call.id, call);
    const onAbort = () => {
      if (call.isPosted) this.#post({ type: 'withdraw', id: call.id });
      this.#settle(call, signal.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#postCall(call);
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  #postCall(call) {
    if (call.isPosted || !this.#isWelcome) return; // it follows the welcome
    call.isPosted = true;
    const { id, name, message, options } = call;
    this.#post({ type: 'call', id, name, message, options });
  }

  #post(message) {
    this.#link.post({ ...message, member: this.#member, owner: this.#owner });
  }

  #answered({ id, value, error }) {
    const call = this.#calls.get(id);
    if (call !== undefined) this.#settle(call, unpackError(error), value);
  }

  #settle(call, error, value) {
    if (!this.#calls.delete(call.id)) return;
    if (error === null) call.resolve(value ?? undefined);
    else call.reject(error);
  }

  #fail(error) {
    for (const call of [...this.#calls.values()]) this.#settle(call, error.copy());
    this.#fanOut.fail(error);
  }

  /** Opens the shared connection, or joins the attempt in flight; `signal` withdraws this call alone. */
  async connect({ retry = null, signal } = {}) {
    return this.#call('connect', { options: { retry }, signal });
  }

  /** Lifts a `disconnect()`, closes the shared connection if it is open, and opens a new one: for all tabs. */
  async reconnect({ retry = null, signal } = {}) {
    return this.#call('reconnect', { options: { retry }, signal });
  }

  /** Closes the shared connection for all tabs, and holds it closed: only `reconnect()` lifts that. */
  async disconnect() {
    await this.#call('disconnect');
  }

  /** Leaves: the last tab that leaves closes the connection. All streams of this handle end. */
  async close() {
    if (this.#isClosed) return;
    this.#post({ type: 'leave' });
    this.#isClosed = true;
    const old = this.#status.state;
    this.#status = Object.freeze({ ...this.#status, state: State.CLOSED });
    for (const call of [...this.#calls.values()]) this.#settle(call, new ClientClosed());
    this.#fanOut.end();
    this.#tell(old, 'Close', null);
    await this.#link.close();
    this.#leave();
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  /** True: `close()` leaves the connection to the others. */
  get isShared() {
    return true;
  }

  get state() {
    return this.#status.state;
  }

  get isConnected() {
    return this.state === State.CONNECTED;
  }

  /** The status of the shared connection, as this tab knows it; `subscribers` and `inbox` are those of this handle. */
  get status() {
    const { inbox, subscribers } = this.#fanOut;
    const lastLoss = this.#status.lastLoss ?? this.#lastLoss;
    return Object.freeze({ ...this.#status, lastLoss, inbox, subscribers });
  }

  /** Calls `watcher` with each change of the state; returns the function that ends that. */
  onChange(watcher) {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** Resolves when the browser has written the message. */
  async send(message, { resend = false } = {}) {
    await this.#call('send', { message, options: { resend } });
  }

  /** Sends a request and resolves with the answer to it. */
  async request(message, { timeout = REQUEST_TIMEOUT, resend = false, signal } = {}) {
    return this.#call('request', { message, options: { timeout, resend }, signal });
  }

  /** As `Client.subscribe()`: a stream of this tab. */
  subscribe(event = null, options = {}) {
    return this.#fanOut.subscribe(event, options);
  }

  /** As `Client.on()`. */
  on(...parameters) {
    const event = typeof parameters[0] === 'function' ? null : parameters.shift();
    const [call, options] = parameters;
    return this.#fanOut.on(event, call, options);
  }

  off(call) {
    this.#fanOut.off(call);
  }

  [Symbol.asyncIterator]() {
    return this.subscribe();
  }
}

/** Returns a handle on the connection that all tabs of this origin share; see `SharedClient`. */
export const join = (module, options) => new SharedClient(module, options);

