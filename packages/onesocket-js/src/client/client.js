// The public handle on one connection.

import { InvalidOption, UsageError } from '../errors.js';
import * as events from '../lifecycle/events.js';
import { Outcome, State } from '../lifecycle/table.js';
import { redact } from '../urls.js';
import { Gap } from './gap.js';
import { DurableMessages } from './durable-messages.js';
import { makeParts, MessageClient } from './message-client.js';
import { checkOptions, checkSeconds } from './options.js';
import { OutageLog } from './outage-log.js';
import { RequestTracker } from './request-tracker.js';
import { Runner } from './runner.js';
import { Sender } from './sender.js';
import { makeSnapshotKeeper } from './snapshot-keeper.js';
import { Subscription } from './subscription.js';
import { UpstreamSubscriptions } from './upstream-subscriptions.js';
import { Delivery } from './delivery.js';

const REQUEST_TIMEOUT = 10;
/** Seconds for the answer to a probe. */
const PROBE_TIMEOUT = 4;
/** Method by which the owner of a shared connection goes on with what an earlier owner had. */
export const ADOPT = Symbol('adopt');
/** Option of `send()`, of the owner alone: a tab sends this message once more, as the earlier owner of the connection is gone. */
export const AGAIN = Symbol('again');
/** Method that returns what the readers of others select a message by. */
export const DESCRIBE = Symbol('describe');
/** Method that returns the subscriptions of the connection, for the readers of others; throws `InvalidOption`. */
export const KEYS = Symbol('keys');
/** Method that returns what late readers begin with, as `{item, about}`; null: they begin with the next message. */
export const SNAPSHOT = Symbol('snapshot');

/**
 * Exactly one WebSocket, however many ask for it.
 *
 * Any number of components may call every method at any time, in any order: `connect()` joins an attempt that is in
 * flight, a lost connection is resumed, and there are never two at once. All durations are seconds.
 */
export class Client extends MessageClient {
  #options;
  #fanOut;
  #sender;
  #requests = null;
  #keys = null;
  #durable = null;
  /** Number of calls of `disconnect()`. */
  #stops = 0;
  #keeper;
  #runner;
  #lastLoss = null;
  #lastLostAt = null;

  /** See the types (types/index.d.ts) for the options. Throws `InvalidURL` and `InvalidOption`. */
  constructor(url, options = {}) {
    const checked = checkOptions(url, options);
    const { protocol, platform, outbox, durableOutbox, logger } = checked;
    const keysOf = (message) => protocol.subscriptions?.keysOf(message) ?? [];
    const parts = makeParts({ ...checked, eventOf: protocol.eventOf, keysOf });
    super(parts);
    const { fanOut, report, tell } = parts;
    this.#options = checked;
    this.#fanOut = fanOut;
    this.#sender = new Sender({
      limits: outbox,
      platform,
      pace: protocol.pace,
      refusal: () => this.#runner.refusal(),
      remedy: () => (this.#runner.machine.epoch === 0 ? 'connect() was never called' : ''),
      report,
    });
    if (durableOutbox !== null) {
      this.#durable = new DurableMessages(durableOutbox, {
        acknowledgement: protocol.acknowledges,
        pace: protocol.pace,
        shownUrl: this.#shownUrl(),
        refusal: () => this.#runner.refusal(),
        report,
        platform,
        logger,
      });
      this.#sender.setStored(this.#durable);
    }
    if (protocol.requests !== null) {
      const encode = (message) => protocol.encode(message);
      this.#requests = new RequestTracker({ requests: protocol.requests, encode, sender: this.#sender, platform, report });
    }
    this.#keeper = makeSnapshotKeeper(protocol, report);
    if (this.#keeper !== null) fanOut.useSnapshots(this.#keeper, (add) => add(this[SNAPSHOT]()));
    const { subscriptions } = protocol;
    if (subscriptions !== null) {
      this.#keys = new UpstreamSubscriptions({
        subscriptions,
        encode: (message) => protocol.encode(message),
        requests: this.#requests,
        keeper: this.#keeper,
        platform,
        report,
        onChange: () => this.#sender.sourceChanged(),
      });
      this.#sender.setSource(this.#keys);
      if (subscriptions.key !== null) fanOut.useKeys(this.#keys);
    }
    const log = new OutageLog(this.#options.logger, this.#shownUrl(), () => this.#runner.retryIn);
    this.#runner = new Runner(this.#options, {
      fanOut,
      sender: this.#sender,
      requests: this.#requests,
      keys: this.#keys,
      durable: this.#durable,
      report,
      onChange: (change) => {
        if (change.old === State.CONNECTED && change.error !== null && change.cause.startsWith('Connection')) {
          this.#lastLoss = change.error;
          this.#lastLostAt = platform.date();
        }
        log.changed(change);
        tell({ ...change, at: platform.date() });
      },
    });
  }

  #shownUrl() {
    return typeof this.#options.url === 'function' ? '(asked for each attempt)' : redact(this.#options.url);
  }

  // --- the connection ---------------------------------------------------------------------------------------------------

  /**
   * Opens the connection, or joins the attempt in flight; resolves with an `Outcome`. `retry: true` waits through
   * failures. `signal` withdraws this call alone: the attempt ends with its last caller.
   */
  connect({ retry = null, signal } = {}) {
    return this.#request(events.connect({ retry }), signal);
  }

  /** Passes a call to the runner once the durable outbox is open, so that nothing is dialled without it. */
  async #request(call, signal, options) {
    if (this.#durable === null || this.#durable.isOpen) return this.#runner.request(call, signal);
    const stops = this.#stops;
    await this.#durable.open({ ...options, signal });
    // A reconnect() must not lift a disconnect() that came while the store was opened.
    const isLate = call.type === 'Reconnect' && this.#stops > stops;
    return this.#runner.request(isLate ? events.connect({ retry: call.retry }) : call, signal);
  }

  /** Starts or finds the attempt, and returns the outcome so far at once. */
  connectNowait({ retry = null } = {}) {
    const outcome = this.#runner.requestNowait(events.connect({ wait: false, retry }));
    this.#durable?.openNowait();
    return outcome;
  }

  /** Lifts a `disconnect()`, closes what is open, and opens one new connection. */
  reconnect({ retry = null, signal } = {}) {
    return this.#request(events.reconnect({ retry }), signal, { liftsDisconnect: true });
  }

  /**
   * Replaces the connection by a successor without a hole in its messages, as the option `rotation` says; resolves when the
   * old connection is closed. Concurrent calls share one rotation; without a connection, it is a `connect()`. If the
   * successor is refused, its error is raised, and the connection stays.
   */
  async rotate({ signal } = {}) {
    if (this.#options.rotation === null) throw new UsageError('rotate() needs the option rotation: new Rotation({identity})');
    return this.#request(events.rotate(), signal);
  }

  /**
   * Sends a heartbeat now, as when the network may have changed: a connection on which no answer comes within `timeout`
   * seconds is lost. It does nothing without a connection, or where the protocol has no heartbeats that are answered.
   */
  async probe({ timeout = PROBE_TIMEOUT } = {}) {
    checkSeconds('timeout', timeout);
    this.#runner.attempt?.probe(timeout);
  }

  /** Closes in order, and holds the connection closed: only `reconnect()` lifts that. */
  disconnect() {
    this.#stops += 1;
    return this.#runner.requestClose(events.disconnect());
  }

  /** Closes for good; all streams end. */
  async close() {
    await this.#runner.requestClose(events.close());
    await this.#durable?.close(this.#options.closeTimeout);
  }

  /** The `State`. */
  get state() {
    return this.#runner.machine.state;
  }

  /** False: the connection is this client's own. */
  get isShared() {
    return false;
  }

  /** A frozen snapshot of this moment. Times are Unix time in seconds, durations are seconds. */
  get status() {
    const { machine, connectedAt, lastConnectedAt, retryIn, callers, url, handshake } = this.#runner;
    return Object.freeze({
      url: url ?? this.#shownUrl(),
      handshake,
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

  [ADOPT](earlier) {
    this.#runner.adopt(earlier);
    if (this.state !== State.DISCONNECTED) this.#durable?.openNowait();
  }

  [DESCRIBE](message) {
    return this.#fanOut.describe(message, { isForOthers: true });
  }

  [SNAPSHOT]() {
    const describe = (item) => (item instanceof Gap ? null : this[DESCRIBE](item));
    return this.#keeper?.items().map((item) => ({ item, about: describe(item) })) ?? null;
  }

  [KEYS]() {
    this.#fanOut.checkKeys();
    return this.#keys;
  }

  // --- messages -----------------------------------------------------------------------------------------------------------

  /**
   * Resolves when the browser has written the message; while there is no connection, it waits in the outbox. With a
   * `DurableOutbox`, it resolves when the message is on disk.
   */
  async send(message, { resend = false, [AGAIN]: isAgain = false } = {}) {
    return this.#send(message, { resend, isAgain }).accepted(); // at once: else its failure would be reported, too
  }

  /** Accepts a message and returns its `Delivery`. Throws `OutboxFull`, `EncodeError` and `DuplicateMessage`. */
  sendNowait(message, { resend = false, [AGAIN]: isAgain = false } = {}) {
    return this.#send(message, { resend, isAgain });
  }

  #send(message, { resend, isAgain }) {
    const data = this.#options.protocol.encode(message);
    return this.#durable?.post(message, data, { resend, isAgain }) ?? this.#sender.send(() => data, { resend });
  }

  /** Sends a request and resolves with the answer to it; the protocol's `Requests` say where the ids are. */
  async request(message, { timeout = REQUEST_TIMEOUT, resend = false, signal } = {}) {
    this.#checkRequests();
    if (timeout !== null) checkSeconds('timeout', timeout);
    signal?.throwIfAborted();
    const makeDelivery = (make, onDone) => new Delivery(make, { resend, isLasting: resend, onDone });
    return this.#requests.request(message, { timeout, resend, signal, makeDelivery });
  }

  #checkRequests() {
    if (this.#requests === null) {
      throw new InvalidOption('this protocol knows no requests: give it requests, such as new Json({requests: new Requests()})');
    }
  }

  /**
   * Sends a request and returns a stream of all answers to it, which ends with the one for which `last` of `Requests` is
   * true. Closed before that, it sends the message of `stop`. `resend`: after a loss the request is sent again.
   */
  requestStream(message, { limit, overflow, resend = false } = {}) {
    this.#checkRequests();
    let close = null;
    const stream = new Subscription({ limit, overflow }, () => close?.());
    const epoch = () => this.#fanOut.epoch;
    close = this.#requests.openStream(message, { queue: stream.queue, resend, epoch });
    return stream;
  }
}
