// The public handle on one connection.

import { InvalidOption, WaitTimeout } from '../errors.js';
import * as events from '../lifecycle/events.js';
import { Outcome, State } from '../lifecycle/table.js';
import { redact } from '../urls.js';
import { FanOut } from './fan-out.js';
import { checkOptions, checkSeconds } from './options.js';
import { OutageLog } from './outage-log.js';
import { Queue } from './queue.js';
import { RequestTracker } from './request-tracker.js';
import { Runner } from './runner.js';
import { Sender } from './sender.js';
import { Delivery } from './delivery.js';

const REQUEST_TIMEOUT = 10;
/** Method by which the owner of a shared connection goes on with what an earlier owner had. */
export const ADOPT = Symbol('adopt');
/** Method that returns the name of a message's event. */
export const EVENT_OF = Symbol('eventOf');

/**
 * Exactly one WebSocket, however many ask for it.
 *
 * Any number of components may call every method at any time, in any order: `connect()` joins an attempt that is in
 * flight, a lost connection is resumed, and there are never two at once. All durations are seconds.
 */
export class Client {
  #options;
  #fanOut;
  #sender;
  #requests = null;
  #runner;
  #watchers = new Set();
  #lastLoss = null;
  #lastLostAt = null;

  /** See the types (types/index.d.ts) for the options. Throws `InvalidURL` and `InvalidOption`. */
  constructor(url, options = {}) {
    this.#options = checkOptions(url, options);
    const { protocol, platform, outbox } = this.#options;
    const report = (error) => this.#report(error);
    this.#fanOut = new FanOut({ eventOf: protocol.eventOf, report });
    this.#sender = new Sender({
      limits: outbox,
      platform,
      pace: protocol.pace,
      refusal: () => this.#runner.refusal(),
      remedy: () => (this.#runner.machine.epoch === 0 ? 'connect() was never called' : ''),
      report,
    });
    if (protocol.requests !== null) {
      const encode = (message) => protocol.encode(message);
      this.#requests = new RequestTracker({ requests: protocol.requests, encode, sender: this.#sender, platform });
    }
    const log = new OutageLog(this.#options.logger, this.#shownUrl(), () => this.#runner.retryIn);
    this.#runner = new Runner(this.#options, {
      fanOut: this.#fanOut,
      sender: this.#sender,
      requests: this.#requests,
      report,
      onChange: (change) => {
        if (change.old === State.CONNECTED && change.error !== null && change.cause.startsWith('Connection')) {
          this.#lastLoss = change.error;
          this.#lastLostAt = platform.date();
        }
        log.changed(change);
        this.#tellWatchers({ ...change, at: platform.date() });
      },
    });
  }

  #shownUrl() {
    return typeof this.#options.url === 'function' ? '(asked for each attempt)' : redact(this.#options.url);
  }

  #report(error) {
    try {
      this.#options.onError(error);
    } catch (failure) {
      console.error(failure);
    }
  }

  #tellWatchers(change) {
    for (const watcher of [...this.#watchers]) {
      try {
        watcher(change);
      } catch (error) {
        this.#report(error);
      }
    }
    if (change.new === State.CLOSED) this.#fanOut.end();
  }

  // --- the connection ---------------------------------------------------------------------------------------------------

  /**
   * Opens the connection, or joins the attempt in flight; resolves with an `Outcome`. `retry: true` waits through
   * failures. `signal` withdraws this call alone: the attempt ends with its last caller.
   */
  connect({ retry = null, signal } = {}) {
    return this.#runner.request(events.connect({ retry }), signal);
  }

  /** Starts or finds the attempt, and returns the outcome so far at once. */
  connectNowait({ retry = null } = {}) {
    return this.#runner.requestNowait(events.connect({ wait: false, retry }));
  }

  /** Lifts a `disconnect()`, closes what is open, and opens one new connection. */
  reconnect({ retry = null, signal } = {}) {
    return this.#runner.request(events.reconnect({ retry }), signal);
  }

  /** Closes in order, and holds the connection closed: only `reconnect()` lifts that. */
  disconnect() {
    return this.#runner.requestClose(events.disconnect());
  }

  /** Closes for good; all streams end. */
  async close() {
    await this.#runner.requestClose(events.close());
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  /** The `State`. */
  get state() {
    return this.#runner.machine.state;
  }

  /** False: the connection is this client's own. */
  get isShared() {
    return false;
  }

  /** True if the connection is open and logged in. */
  get isConnected() {
    return this.state === State.CONNECTED;
  }

  /** A frozen snapshot of this moment. Times are Unix time in seconds, durations are seconds. */
  get status() {
    const { machine, connectedAt, lastConnectedAt, retryIn, callers, url } = this.#runner;
    return Object.freeze({
      url: url ?? this.#shownUrl(),
      state: machine.state,
      epoch: machine.epoch,
      attempt: machine.failures,
      lastError: machine.error,
      lastLoss: this.#lastLoss,
      lastLostAt: this.#lastLostAt,
      connectedAt,
      lastConnectedAt,
      retryIn,
      callers: callers.size,
      outbox: this.#sender.size,
      inbox: this.#fanOut.inbox,
      subscribers: this.#fanOut.subscribers,
    });
  }

  /** Counters since the client was made. */
  get stats() {
    const runner = this.#runner;
    const { outcomes } = runner.callers;
    return Object.freeze({
      attempts: runner.attempts,
      handshakes: runner.handshakes,
      opened: outcomes[Outcome.OPENED],
      joined: outcomes[Outcome.JOINED],
      alreadyConnected: outcomes[Outcome.ALREADY_CONNECTED],
      reconnects: Math.max(0, runner.readied - 1),
      staleDropped: runner.machine.stale,
      lateAnswers: this.#requests?.lateAnswers ?? 0,
      received: runner.received,
      sent: this.#sender.sent,
      undecodable: runner.undecodable,
      callbackErrors: this.#fanOut.callbackErrors,
      gaps: runner.gaps,
      overflows: this.#fanOut.overflows,
      dropped: this.#fanOut.dropped,
    });
  }

  /** Calls `watcher` with each change of the state; returns the function that ends that. */
  onChange(watcher) {
    if (typeof watcher !== 'function') throw new InvalidOption('onChange() takes a function');
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  /** Returns a stream of the changes of the state, which ends with the client. */
  async *changes() {
    const queue = new Queue({ marksGaps: false });
    const stop = this.onChange((change) => {
      queue.put(change);
      if (change.new === State.CLOSED) queue.end();
    });
    try {
      for (let next = await queue.next(); !next.done; next = await queue.next()) yield next.value;
    } finally {
      stop();
    }
  }

  /** Resolves when the client is in this state, or in one of these; rejects with `WaitTimeout`. */
  waitFor(states, { timeout = null } = {}) {
    const wanted = [states].flat();
    if (timeout !== null) checkSeconds('timeout', timeout);
    if (wanted.includes(this.state)) return Promise.resolve(this.state);
    return new Promise((resolve, reject) => {
      let cancel = null;
      const stop = this.onChange((change) => {
        if (!wanted.includes(change.new)) return;
        stop();
        cancel?.();
        resolve(change.new);
      });
      if (timeout === null) return;
      cancel = this.#options.platform.setTimer(timeout, () => {
        stop();
        reject(new WaitTimeout(`not ${wanted.join(' or ')} within ${timeout} s: ${this.state}`));
      });
    });
  }

  [ADOPT]({ lastEpoch, lastState, wait }) {
    this.#runner.adopt({ lastEpoch, lastState, wait });
  }

  [EVENT_OF](message) {
    return this.#fanOut.nameOf(message);
  }

  // --- messages -----------------------------------------------------------------------------------------------------------

  /** Resolves when the browser has written the message; while there is no connection, it waits in the outbox. */
  async send(message, { resend = false } = {}) {
    return this.sendNowait(message, { resend }).then(); // awaited at once: else its failure would be reported, too
  }

  /** Accepts a message and returns its `Delivery`. Throws `OutboxFull` and `EncodeError`. */
  sendNowait(message, { resend = false } = {}) {
    const data = this.#options.protocol.encode(message);
    return this.#sender.send(() => data, { resend });
  }

  /** Sends a request and resolves with the answer to it; the protocol's `Requests` say where the ids are. */
  async request(message, { timeout = REQUEST_TIMEOUT, resend = false, signal } = {}) {
    if (this.#requests === null) {
      throw new InvalidOption('this protocol knows no requests: give it requests, such as new Json({requests: new Requests()})');
    }
    if (timeout !== null) checkSeconds('timeout', timeout);
    signal?.throwIfAborted();
    const makeDelivery = (make, onDone) => new Delivery(make, { resend, isLasting: resend, onDone });
    return this.#requests.request(message, { timeout, resend, signal, makeDelivery });
  }

  /**
   * Returns a stream for one reader, of all messages or of an event's. `where(message)` is true of the messages that are
   * wanted; `limit` messages may wait, and beyond it the rule `overflow` ("fail" or "drop_oldest") is in force.
   */
  subscribe(event = null, options = {}) {
    return this.#fanOut.subscribe(event, options);
  }

  /** Calls a function with each message, `on(call)`, or with those of an event, `on(event, call)`; returns the end of it. */
  on(...parameters) {
    const event = typeof parameters[0] === 'function' ? null : parameters.shift();
    const [call, options] = parameters;
    return this.#fanOut.on(event, call, options);
  }

  /** Ends the calls of a function that was given to `on()`. */
  off(call) {
    this.#fanOut.off(call);
  }

  [Symbol.asyncIterator]() {
    return this.subscribe();
  }
}
