// The actions that rules of the transition table name: they change the data of the machine and append effects.

import {
  ClientClosed,
  ConnectAborted,
  ManuallyDisconnected,
  OpenTimeout,
  RetriesExhausted,
  ServerBusy,
} from '../errors.js';
import { isCall } from './events.js';
import { Guards } from './guards.js';
import { AfterClose, Initiator, LIMITS, Outcome, State, TimerKind, Verdict } from './table.js';

/** An event that can't happen in this state: a bug of the shell, never of the user. */
export class IllegalEvent extends Error {}

/** Returns the error of an attempt that has missed its deadline; `detail`: the phase that it was in. */
export function timeoutError(openTimeout, detail) {
  return new OpenTimeout(`not ready within open_timeout (${openTimeout} s)${detail ? `: still ${detail}` : ''}`);
}

export class Actions extends Guards {
  // --- callers ------------------------------------------------------------------------------------------------------

  setInitiator() {
    if (this.afterClose !== AfterClose.BACK_OFF) {
      this.failures = this.refusals = 0;
      this.initiator = Initiator.CALLERS;
      this.inheritsOutage = false;
    }
    const earlier = this.earlier();
    if (earlier !== null) {
      this.initiator = Initiator.RESUME;
      [this.failures, this.awaySince] = [earlier.failures, this.now - earlier.away];
      this.inheritsOutage = earlier.failures > 1;
      this.error = earlier.error ?? this.error;
      this.notBefore = Math.max(this.notBefore, this.now + earlier.wait);
      this.noteGhost();
    }
  }

  addOpener() {
    this.#addCaller(Outcome.OPENED);
  }

  addJoiner() {
    this.#addCaller(Outcome.JOINED);
  }

  #addCaller(outcome) {
    this.#detachFromCallers();
    if (this.#hasWaitingCaller()) {
      this.waiting += 1;
      this.retrying += Number(this.retries());
    }
    this.effects.push({ type: 'AwaitOutcome', outcome });
  }

  /** A call that does not wait keeps the attempt from being wound down with the last caller. */
  #detachFromCallers() {
    if (this.#hasWaitingCaller() || this.initiator === Initiator.RESUME) return;
    if (this.retries()) this.initiator = Initiator.RETRYING;
    else if (this.initiator === Initiator.CALLERS) this.initiator = Initiator.DETACHED;
  }

  #hasWaitingCaller() {
    return isCall(this.event) && this.event.wait;
  }

  dropCaller() {
    if (this.waiting === 0) throw new IllegalEvent(`CallerCancelled in ${this.state}, but no caller waits`);
    this.waiting -= 1;
    this.retrying -= Number(this.event.type === 'CallerCancelled' && this.event.retries);
  }

  resolveCallers() {
    this.error = null;
    this.notBefore = 0;
    this.inheritsOutage = false;
    this.resolveWaiting();
  }

  resolveWaiting() {
    if (this.waiting) {
      this.waiting = this.retrying = 0;
      this.effects.push({ type: 'ResolveCallers' });
    }
  }

  rejectCallers() {
    if (this.error !== null) this.reject(this.error);
  }

  /** The attempt failed, and another follows: only callers that wait for that one as well are spared. */
  rejectCallersOfAttempt() {
    if (this.error === null || this.meetsGhost || this.waiting === this.retrying) return;
    this.waiting = this.retrying;
    this.effects.push({ type: 'RejectCallers', error: this.error, sparesRetrying: true });
  }

  abortCallers() {
    this.reject(new ConnectAborted('disconnect() was called while this connect() was waiting'));
  }

  closeCallers() {
    this.reject(new ClientClosed('close() was called while this connect() was waiting'));
  }

  reject(error) {
    if (this.waiting) {
      this.waiting = this.retrying = 0;
      this.effects.push({ type: 'RejectCallers', error, sparesRetrying: false });
    }
  }

  returnAlreadyConnected() {
    this.effects.push({ type: 'ReturnOutcome', outcome: Outcome.ALREADY_CONNECTED });
  }

  returnAtOnce() {
    this.effects.push({ type: 'ReturnAtOnce' });
  }

  refuseStopped() {
    this.effects.push({ type: 'RaiseError', error: new ManuallyDisconnected() });
  }

  refuseClosed() {
    this.effects.push({ type: 'RaiseError', error: new ClientClosed() });
  }

  /** Answers the call with `ServerBusy`: the time that the server named has not come. */
  refuseEarly() {
    const rest = this.notBefore - this.now;
    const text = `the server asked for no attempt before ${rest.toFixed(1)} s from now`;
    const cause = this.error ?? undefined;
    const error = new ServerBusy(cause ? `${text}: ${cause.message}` : text, { retryAfter: Math.max(0, rest), cause });
    this.effects.push({ type: 'RaiseError', error });
  }

  awaitEnd() {
    this.effects.push({ type: 'AwaitEnd' });
  }

  releaseClosers() {
    this.effects.push({ type: 'ReleaseClosers' });
  }

  // --- the connection -------------------------------------------------------------------------------------------------

  dial() {
    this.lastEpoch += 1;
    this.epoch = this.liveEpoch = this.lastEpoch;
    this.opened = this.hasPlace = this.meetsGhost = false;
    this.#setTimer(TimerKind.OPEN, this.openTimeout);
    this.effects.push({ type: 'Dial', epoch: this.epoch });
  }

  markOpened() {
    this.opened = this.hasPlace = true;
  }

  markGone() {
    if (this.hasPlace) this.noteGhost();
    if (this.state === State.CLOSING) this.noteRefusalWhileClosing();
    this.liveEpoch = null;
    this.opened = this.hasPlace = false;
  }

  noteRefusalWhileClosing() {
    const failure = this.failure();
    if (failure !== null && this.failureNamesDate()) {
      this.noteDate(failure.error);
      const hasReason = [null, AfterClose.BACK_OFF, AfterClose.FAIL].includes(this.afterClose);
      if (!hasReason) this.error = failure.error;
    }
  }

  /** The server may count the connection that has ended for some time more. */
  noteGhost() {
    this.ghostUntil = this.now + this.ghostSeconds;
  }

  resumeAfterClose() {
    this.initiator = Initiator.RESUME;
  }

  extendDeadline() {
    const seconds = this.event.type === 'DeadlineExtended' ? this.event.seconds : 0;
    this.#setTimer(TimerKind.OPEN, this.timerAt + seconds - this.now);
  }

  /** Closes in order, or aborts if the peer is known to be dead. */
  closeConnection() {
    let [code, reason] = [1000, ''];
    if (this.leavesPlace(this.epoch)) this.hasPlace = false;
    if (this.event.type === 'ConnectionFailing') {
      if (this.event.dead) {
        this.abort();
        return;
      }
      ({ code, reason } = this.event);
    }
    if (this.opened) this.setCloseTimeout();
    // Otherwise the deadline of the attempt goes on bounding it: a socket that is being opened is waited for.
    this.effects.push({ type: 'CloseConnection', epoch: this.epoch, code, reason });
  }

  setCloseTimeout() {
    this.#setTimer(TimerKind.CLOSE, this.closeTimeout);
  }

  abort() {
    this.cancelTimer();
    const code = this.event.type === 'ConnectionFailing' ? this.event.code : null;
    this.effects.push({ type: 'Abort', epoch: this.epoch, code });
  }

  // --- failures and timers ----------------------------------------------------------------------------------------------

  forgetFailures() {
    this.timer = null;
    this.failures = this.refusals = 0;
  }

  setTimeoutError() {
    this.error = timeoutError(this.openTimeout, this.event.type === 'TimerFired' ? this.event.detail : '');
  }

  /** One failure more; the last one that the policy allows becomes `RetriesExhausted`. */
  countFailure() {
    const failure = this.failure();
    if (this.state === State.CONNECTED) {
      this.initiator = Initiator.RESUME;
      if (failure?.type === 'ConnectionFailing' && failure.upFor >= LIMITS.minUptime) {
        this.ghostUntil = 0; // the server had a place: what it counts now is another's
      }
    }
    this.#countRefusal();
    this.meetsGhost = this.isGhost();
    if (failure !== null) {
      this.error = failure.error;
      if (this.meetsGhost && failure.verdict === null) this.verdict = Verdict.RETRY; // it is gone in seconds
    }
    this.noteDate(this.error);
    if (this.failures === 0) this.awaySince = this.now;
    else if (this.state === State.CONNECTED) {
      // It has not proved itself: each second up makes up for one away.
      this.awaySince = Math.min(this.now, this.awaySince + 2 * (this.now - this.upSince));
    }
    this.failures += 1;
    const last = this.error;
    const exhausted = this.reconnect !== null && this.reconnect.exhausted(this.failures);
    const goesOn = this.isResumed || this.meetsGhost;
    if (last !== null && this.verdict !== Verdict.FAIL && goesOn && exhausted) {
      const text = `gave up after ${this.failures} failures in a row; the last one: ${last.message}`;
      this.error = new RetriesExhausted(text, { cause: last });
    }
  }

  #countRefusal() {
    this.verdict = this.verdictOfEvent();
    const failure = this.failure();
    if (failure !== null && this.refusesToken(failure)) {
      this.effects.push({ type: 'ReportRefusedToken', error: failure.error });
    }
    if (this.verdict === Verdict.NEW_TOKEN) this.refusals += 1;
    else if (this.state === State.CONNECTED) this.refusals = 0;
  }

  noteDate(error) {
    const named = error?.retryAfter ?? null;
    const longest = this.reconnect === null ? LIMITS.maxWait : this.reconnect.retryAfterCap;
    if (named !== null) this.notBefore = this.now + Math.min(named, longest);
  }

  scheduleRetry() {
    if (this.reconnect === null || this.event.type !== 'ConnectionGone') {
      throw new IllegalEvent('a retry without a policy or an end');
    }
    if (this.error === null) { // none failed but a successor, which was refused until a date
      this.waitForDate();
      return;
    }
    const away = this.now - this.awaySince;
    const failures = this.failures + Number(this.meetsGhost); // a ghost of our own isn't gone at once
    const delay = this.reconnect.delay(failures, this.error, this.event.jitter, away, this.verdict);
    this.#setTimer(TimerKind.RETRY, Math.max(delay, this.notBefore - this.now));
  }

  waitForDate() {
    this.#setTimer(TimerKind.RETRY, Math.max(this.notBefore - this.now, this.earlier()?.backOff ?? 0));
  }

  /** Sets the timer after which earlier failures are forgotten, if there are any. */
  watchStability() {
    this.upSince = this.now;
    if (this.reconnect === null || this.failures === 0) this.cancelTimer();
    else this.#setTimer(TimerKind.STABLE, this.reconnect.stableAfter);
  }

  cancelTimer() {
    this.timer = null;
    this.effects.push({ type: 'CancelTimer', isSide: false });
  }

  #setTimer(kind, delay) {
    this.timer = { kind, epoch: this.epoch };
    this.timerAt = this.now + delay;
    this.effects.push({ type: 'SetTimer', kind, epoch: this.epoch, at: this.timerAt, isSide: false });
  }
}
