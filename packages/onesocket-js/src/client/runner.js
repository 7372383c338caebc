// Passes events to the machine and performs its effects; all decisions are the machine's.

import { ClientClosed, ClosedByPeer, ConnectionFailure, ManuallyDisconnected, ServerBusy } from '../errors.js';
import * as events from '../lifecycle/events.js';
import { Machine } from '../lifecycle/machine.js';
import { AfterClose, GapReason, Side, State, Verdict } from '../lifecycle/table.js';
import { Callers } from './callers.js';
import { ConnectionAttempt } from './connection-attempt.js';
import { FailureJudge } from './failure-judge.js';
import { Gap } from './gap.js';
import { Rotations } from './rotations.js';
import { SilenceWatch } from './silence-watch.js';
import { TokenRequests } from './token-requests.js';

/** States in which a connection was up, or was being resumed. */
const WAS_UP = [State.CONNECTED, State.BACKING_OFF, State.CLOSING];

/** The shell around one `Machine`. Its `client` has `fanOut`, `sender`, `requests`, `durable`, `onChange` and `report`. */
export class Runner {
  #options;
  #platform;
  #tokens;
  #client;
  #queue = [];
  #effects = [];
  #changes = [];
  #isBusy = false;
  #cancelTimer = null;
  #cancelSideTimer = null;
  /** Ends the wait for the network, while BACKING_OFF. */
  #cancelOnline = null;
  #silence;
  #judge;
  #rotations = null;
  /** True while the effects of a rotation are performed: a successor has taken over. */
  #isPromoted = false;
  /** The side connection of a rotation. */
  #side = null;
  callers = new Callers();
  attempt = null;
  attempts = 0;
  handshakes = 0;
  readied = 0;
  gaps = 0;
  received = 0;
  undecodable = 0;
  connectedAt = null;
  lastConnectedAt = null;
  lastUrl = null;

  constructor(options, client) {
    this.#options = options;
    this.#platform = options.platform;
    this.#tokens = new TokenRequests(options.token);
    this.#client = client;
    this.#silence = new SilenceWatch(options, client.report);
    this.#judge = new FailureJudge(options, { tokens: this.#tokens, report: client.report });
    this.machine = new Machine({
      openTimeout: options.openTimeout,
      closeTimeout: options.closeTimeout,
      reconnect: options.reconnect,
      renewsToken: this.#tokens.renews,
      closesFirst: options.rotation?.closeFirst ?? false,
      ghostSeconds: options.protocol.ghostSeconds,
    });
    if (options.rotation === null) return;
    this.#rotations = new Rotations(options, {
      parts: client,
      publish: (message, about) => this.#publish(message, about),
      dispatch: (event) => this.dispatch(event),
      rotate: () => this.#rotate(),
    });
  }

  /** The URL of the present attempt or connection, or of the last one, without its secrets; null: it isn't known. */
  get url() {
    return this.attempt?.shownUrl ?? this.lastUrl;
  }

  /** Seconds until the next attempt; null: none is due. */
  get retryIn() {
    const at = this.machine.retryAt;
    return at === null ? null : Math.max(0, at - this.#platform.now());
  }

  /** The server's answer to the upgrade of the present connection, as far as a page is told; null: there is none. */
  get handshake() {
    if (this.machine.state !== State.CONNECTED || this.attempt === null) return null;
    return Object.freeze({ subprotocol: this.attempt.subprotocol });
  }

  /** The error for a message that can't be accepted, as the client is stopped or closed; else null. */
  refusal() {
    const { state, afterClose } = this.machine;
    if (state === State.CLOSED || afterClose === AfterClose.CLOSE) return new ClientClosed();
    if (state === State.STOPPED || afterClose === AfterClose.STOP) return new ManuallyDisconnected();
    return null;
  }

  // --- calls of the client ------------------------------------------------------------------------------------------

  /** Passes a call to the machine and returns a promise of its outcome; `signal` withdraws this caller alone. */
  async request(call, signal) {
    signal?.throwIfAborted();
    let before = this.machine.retrying;
    let asked;
    try {
      asked = this.#ask(call);
    } catch (error) {
      if (!(error instanceof ServerBusy)) throw error;
      // Thrown at once, it would let a page that calls in a loop spin.
      await this.callers.waitForChange(Math.min(error.retryAfter ?? 0, this.#options.openTimeout), this.#platform);
      signal?.throwIfAborted();
      before = this.machine.retrying;
      // A reconnect() has lifted an earlier disconnect(), and must not lift one that came meanwhile.
      asked = this.#ask(call.type === 'Rotate' ? call : events.connect({ retry: call.retry }));
    }
    const { answer, rest } = asked;
    if (answer.type !== 'AwaitOutcome') {
      this.#performAll(rest);
      return this.#answered(answer);
    }
    // Added after earlier callers are settled, and before the other effects.
    const { promise, id } = this.callers.add(answer.outcome, this.machine.retrying > before);
    const onAbort = () => this.#withdraw(id, signal.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#performAll(rest);
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  #withdraw(id, reason) {
    const caller = this.callers.remove(id, reason);
    // At once, and not after events that wait: the machine counts the callers that are there.
    if (caller) this.#performAll(this.#tellMachine(events.callerCancelled(caller.retries)));
  }

  /** Passes a call to the machine and returns the outcome so far. */
  requestNowait(call) {
    const { answer, rest } = this.#ask(call);
    this.#performAll(rest);
    return this.#answered(answer);
  }

  /** Passes a call to the machine and returns a promise of the end of the connection. */
  async requestClose(call) {
    const { answer, rest } = this.#ask(call);
    const end = answer.type === 'AwaitEnd' ? this.callers.waitForEnd() : null;
    this.#performAll(rest);
    await end;
  }

  #answered({ outcome }) {
    this.callers.outcomes[outcome] += 1;
    return outcome;
  }

  /** Passes a call to the machine; returns its answer and the other effects. Throws the error that it answers. */
  #ask(call) {
    const effects = this.#tellMachine(call);
    const answer = effects.find(events.isAnswer);
    const rest = effects.filter((effect) => effect !== answer);
    if (answer.type === 'RaiseError') {
      this.#performAll(rest);
      throw answer.error;
    }
    return { answer, rest };
  }

  /** Goes on with the connection of an earlier owner, which had this epoch and state, and this `outage`; after `wait` seconds. */
  adopt({ lastEpoch, lastState, outage, wait }) {
    const { machine } = this;
    machine.lastEpoch = Math.max(machine.lastEpoch, lastEpoch);
    if (machine.state !== State.DISCONNECTED || machine.epoch > 0) return;
    if (lastState === State.STOPPED) this.requestClose(events.disconnect());
    else if (WAS_UP.includes(lastState)) {
      this.requestNowait(events.connect({ wait: false, resumes: events.earlierConnection({ ...outage, wait }) }));
    }
  }

  // --- events and effects ---------------------------------------------------------------------------------------------

  /** Passes one event to the machine and performs its effects, after those of earlier events. */
  dispatch(event) {
    if (event.type === 'Opened') this.handshakes += 1;
    this.#queue.push(event);
    if (!this.#isBusy) this.#drain();
  }

  /**
   * Performs what is due, each event's effects before anything else: a call that a watcher or another function of the
   * program makes meanwhile is answered by the machine at once, and its effects follow those of the events before it.
   */
  #drain() {
    this.#isBusy = true;
    try {
      for (;;) {
        if (this.#effects.length > 0) this.#perform(this.#effects.shift());
        else if (this.#isPromoted) this.#promoted();
        else if (this.#changes.length > 0) this.#client.onChange(this.#changes.shift());
        else if (this.#queue.length > 0) this.#handle(this.#queue.shift());
        else break;
      }
    } finally {
      this.#isBusy = false;
    }
  }

  #handle(event) {
    this.#effects.push(...this.#tellMachine(this.#judge.judged(event, this.machine)));
  }

  /**
   * Passes an event to the machine; returns its effects but those that settle callers, which is done at once: so the
   * callers that are there are those that the machine counts, whatever functions of the program do meanwhile.
   */
  #tellMachine(event) {
    const hasCallers = this.callers.size > 0;
    const rest = [];
    for (const effect of this.machine.handle(event, this.#platform.now())) {
      if (effect.type === 'ResolveCallers') this.callers.resolveAll();
      else if (effect.type === 'RejectCallers') this.callers.rejectAll(effect.error, effect);
      else rest.push(effect.type === 'StateChanged' ? { ...effect, hasCallers } : effect);
    }
    return rest;
  }

  #performAll(effects) {
    this.#effects.push(...effects);
    if (!this.#isBusy) this.#drain();
  }

  #perform(effect) {
    switch (effect.type) {
      case 'StateChanged':
        this.#changed(effect);
        break;
      case 'Dial':
        this.#dial(effect.epoch);
        break;
      case 'DialSuccessor':
        this.#dialSuccessor(effect.epoch);
        break;
      case 'TakeOver':
        this.#takeOver();
        break;
      case 'CloseConnection':
        this.#attemptOf(effect.epoch)?.close(effect.code, effect.reason);
        break;
      case 'Abort':
        this.#attemptOf(effect.epoch)?.abort(effect.code);
        break;
      case 'ReportRefusedToken':
        this.#tokens.refused(effect.error);
        break;
      case 'ReleaseClosers':
        this.callers.releaseClosers();
        break;
      case 'SetTimer':
        this.#setTimer(effect);
        break;
      case 'CancelTimer':
        if (effect.isSide) this.#cancelSideTimer?.();
        else this.#cancelTimer?.();
        break;
      default: // an answer that no caller waits for, as the event is the shell's own
    }
  }

  #setTimer({ kind, epoch, at, isSide }) {
    const cancel = this.#platform.setTimer(at - this.#platform.now(), () => {
      this.dispatch(events.timerFired(epoch, kind, { detail: this.#attemptOf(epoch)?.phase ?? '' }));
    });
    if (isSide) {
      this.#cancelSideTimer?.();
      this.#cancelSideTimer = cancel;
    } else {
      this.#cancelTimer?.();
      this.#cancelTimer = cancel;
    }
  }

  #attemptOf(epoch) {
    return [this.attempt, this.#side].find((attempt) => attempt?.epoch === epoch);
  }

  #dial(epoch) {
    this.#tokens.wantsAnother = this.machine.refusals > 0; // a new call begins a new count
    this.#client.sender.setPace(this.#options.protocol.pace);
    this.attempt = this.#makeAttempt(epoch, this.#options.protocol);
    this.attempt.start();
  }

  #makeAttempt(epoch, protocol) {
    this.attempts += 1;
    const attempt = new ConnectionAttempt(epoch, {
      options: this.#options,
      protocol,
      platform: this.#platform,
      tokens: this.#tokens,
      shell: {
        dispatch: (event) => this.dispatch(event),
        onReady: (_, ready) => this.#onReady(attempt, ready),
        onMessage: (message) => this.#onMessage(attempt, message),
        onUndecodable: (error) => this.#onUndecodable(error, attempt),
        onActivity: () => {
          this.received += 1;
          if (attempt === this.attempt) this.#silence.heard();
        },
        onGone: (_, error, details) => this.#onGone(attempt, error, details),
        report: this.#client.report,
      },
    });
    return attempt;
  }

  // --- rotations ------------------------------------------------------------------------------------------------------

  /** Begins a rotation by age or announcement. */
  #rotate() {
    if (this.machine.state !== State.CONNECTED || this.#rotations.defer()) return;
    try {
      this.#performAll(this.#ask(events.rotate({ wait: false })).rest);
    } catch (error) {
      if (!(error instanceof ServerBusy)) throw error;
      this.#rotations.watch.rotateAfter(error.retryAfter ?? 0);
    }
  }

  #dialSuccessor(epoch) {
    this.#side = this.#makeAttempt(epoch, this.#options.protocol.successor());
    this.#rotations.begin(this.#side);
    this.#side.start();
  }

  #takeOver() {
    [this.attempt, this.#side] = [this.#side, this.attempt];
    if (this.machine.state === State.CLOSING) return; // what is left is being closed
    this.#rotations.takeOver(this.#side);
    if (this.machine.state === State.CONNECTED) {
      this.#isPromoted = true;
      return;
    }
    const { attempt } = this;
    const ready = this.#rotations.readyOf(attempt);
    if (ready !== null) queueMicrotask(() => this.#onReady(attempt, ready));
  }

  /** A successor has taken over: nothing is missing, so there is no gap. */
  #promoted() {
    this.#isPromoted = false;
    const { attempt } = this;
    if (attempt === null) return;
    this.#accepted();
    this.#client.fanOut.ready(attempt.epoch);
    this.#rotations.attach(attempt);
    this.#rotations.switch({ hasPredecessor: this.#side !== null, isSeamless: true });
    this.#silence.begin(attempt);
    const { CONNECTED } = State;
    this.#changes.push({ old: CONNECTED, new: CONNECTED, epoch: attempt.epoch, cause: 'ProtocolReady', error: null });
  }

  #accepted() {
    this.#tokens.accepted();
    this.connectedAt = this.lastConnectedAt = this.#platform.date();
    this.readied += 1;
  }

  #lookAtRotation() {
    const { rotationError, state } = this.machine;
    if (rotationError !== null && state === State.CONNECTED && this.#side === null) {
      this.#rotations.failed(rotationError, this.url ?? '');
    }
  }

  #changed({ hasCallers, ...change }) {
    const { afterClose } = this.machine;
    const { fanOut, sender } = this.#client;
    if (change.old === State.CONNECTED) {
      this.connectedAt = null;
      this.#silence.stop();
      this.#rotations?.watch.stop();
      // A sound connection that we close ourselves takes along what still waits for the socket.
      const ours = [AfterClose.STOP, AfterClose.CLOSE, AfterClose.NEW_ATTEMPT].includes(afterClose);
      sender.connectionClosing({ drains: ours });
    }
    const refusal = this.refusal();
    if (refusal !== null) sender.rejectWaiting(refusal);
    if (change.old === State.FAILED) fanOut.forgetFailure();
    this.#cancelOnline?.();
    const backsOff = change.new === State.BACKING_OFF;
    this.#cancelOnline = backsOff ? this.#platform.onOnline(() => this.#networkIsBack()) : null;
    // The failure of a first connect is raised in its callers; readers made before go on waiting.
    const isHeard = this.readied > 0 || !hasCallers;
    if (change.new === State.FAILED && change.error !== null && isHeard) fanOut.fail(change.error);
    this.callers.onChange();
    this.#changes.push(change);
  }

  /** Ends a back-off, unless the server itself has asked for it: the failures were those of a network that was away. */
  #networkIsBack() {
    const { state, error } = this.machine;
    if (state !== State.BACKING_OFF || !(error instanceof ConnectionFailure) || error instanceof ClosedByPeer) return;
    try {
      this.#performAll(this.#ask(events.connect({ wait: false })).rest);
    } catch (refusal) {
      if (!(refusal instanceof ServerBusy)) throw refusal; // before a date that the server named
    }
  }

  // --- reports of the attempt -------------------------------------------------------------------------------------------

  #onReady(attempt, { resumed, first }) {
    if (attempt === this.#side && this.attempt !== null) {
      if (this.machine.side === Side.OPENING) this.#rotations.loggedIn(attempt, { resumed, first });
      return;
    }
    if (attempt.epoch !== this.machine.liveEpoch || this.machine.state !== State.CONNECTING) {
      this.dispatch(events.protocolReady(attempt.epoch));
      return;
    }
    const loss = this.machine.error;
    const { fanOut, sender } = this.#client;
    const hasPredecessor = this.readied > 0;
    this.#accepted();
    fanOut.ready(attempt.epoch);
    // What a watcher or a reader of the gap sends is for the new connection: it goes before what waited.
    sender.prioritized(() => {
      this.dispatch(events.protocolReady(attempt.epoch));
      if (hasPredecessor && !resumed) {
        this.gaps += 1;
        fanOut.announce(new Gap(GapReason.RECONNECTED, { epoch: attempt.epoch, error: loss }));
      }
    });
    this.#rotations?.switch({ hasPredecessor: this.#side !== null, isSeamless: false });
    // A watcher that was told just now may have closed it already.
    if (this.machine.liveEpoch === attempt.epoch && this.machine.afterClose === null) {
      if (!this.#rotations?.attach(attempt)) sender.connectionReady(attempt, first);
      this.#silence.begin(attempt);
    }
  }

  #onMessage(attempt, message) {
    if (this.#rotations === null) this.#publish(message, { hears: true });
    else this.#rotations.received(attempt, message);
  }

  /** Delivers a message; `hears`: it may be an answer about keys of the present connection. */
  #publish(message, { hears }) {
    this.#rotations?.watch.look(message);
    this.#silence.received(message);
    if (this.#client.requests?.received(message)) return;
    if (hears) this.#client.keys?.received(message);
    this.#client.durable?.received(message);
    this.#client.fanOut.publish(message);
  }

  #onUndecodable(error, attempt) {
    if (attempt !== this.attempt) return; // a copy is on the connection itself
    this.undecodable += 1;
    this.#client.fanOut.announce(new Gap(GapReason.UNDECODABLE, { epoch: attempt.epoch, missed: 1, error }));
  }

  #onGone(attempt, error, { upFor, isUnchanged, isClean }) {
    if (this.attempt === attempt) {
      this.lastUrl = attempt.shownUrl ?? this.lastUrl;
      this.attempt = null;
      this.#client.sender.connectionEnded({ isClean });
      this.#client.requests?.connectionEnded(error, this.#rotations?.successorKeys);
    }
    const wasSide = this.#side === attempt;
    if (wasSide) this.#side = null;
    this.#rotations?.gone(attempt, error, { isClean, present: this.attempt, side: this.#side });
    const verdict = isUnchanged ? Verdict.NEW_TOKEN : null;
    this.dispatch(events.connectionGone(attempt.epoch, error, { jitter: this.#platform.random(), upFor, verdict }));
    if (wasSide) queueMicrotask(() => this.#lookAtRotation());
  }
}
