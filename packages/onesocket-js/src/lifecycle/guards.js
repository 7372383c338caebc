// The data of the machine, and the guards that rules of the transition table name.

import { ServerBusy } from '../errors.js';
import { isCall, isFailure } from './events.js';
import { AfterClose, Initiator, LIMITS, Side, State, Verdict } from './table.js';
import { verdictOf } from './verdict.js';

/** True if the server has refused a connection as it counts too many. */
export const isConnectionLimit = (error) => error instanceof ServerBusy && error.isConnectionLimit;

/** Plain data of one connection's lifecycle, and the guards, which read it. */
export class Guards {
  constructor({
    openTimeout,
    closeTimeout,
    reconnect,
    renewsToken = false,
    closesFirst = false,
    ghostSeconds = LIMITS.ghostSeconds,
    maxTokenRequests = LIMITS.maxTokenRequests,
  }) {
    Object.assign(this, {
      openTimeout,
      closeTimeout,
      reconnect,
      renewsToken,
      closesFirst,
      ghostSeconds,
      maxTokenRequests,
      state: State.DISCONNECTED,
      /** Of the authoritative connection or attempt, or of the last one; 0 before the first attempt. */
      epoch: 0,
      lastEpoch: 0,
      /** The epoch of the authoritative connection that still exists, if any. */
      liveEpoch: null,
      opened: false,
      /** The next step after CLOSING; null in every other state. */
      afterClose: null,
      initiator: Initiator.CALLERS,
      /** Callers that wait for an attempt's outcome, and those of them that wait through failures. */
      waiting: 0,
      retrying: 0,
      /** Failures in a row since a connection last proved itself; refusals of the token since one was accepted. */
      failures: 0,
      refusals: 0,
      /** Time that the server named for the next attempt. */
      notBefore: 0,
      /** The server counts the live connection; until when it may count the last one; it has refused one for that. */
      hasPlace: false,
      ghostUntil: 0,
      meetsGhost: false,
      /** The connection is away since another tab had it: calls that wait through failures don't cut the back-off short. */
      inheritsOutage: false,
      awaySince: 0,
      upSince: 0,
      /** `{kind, epoch}`, and when it fires. */
      timer: null,
      timerAt: 0,
      error: null,
      verdict: Verdict.RETRY,
      /** Events of a past epoch or timer that were dropped. */
      stale: 0,
      /** The side connection of a rotation. */
      side: Side.NONE,
      sideEpoch: null,
      sideOpened: false,
      sideHasPlace: false,
      sideTimer: null,
      sideTimerAt: 0,
      rotationError: null,
      /** The event that is being handled, its time, and its effects so far. */
      event: null,
      now: 0,
      effects: [],
    });
  }

  /** Time of the next attempt, while BACKING_OFF. */
  get retryAt() {
    return this.state === State.BACKING_OFF ? this.timerAt : null;
  }

  // --- guards -------------------------------------------------------------------------------------------------------

  retryHelps() {
    if (this.reconnect === null || this.reconnect.exhausted(this.failures + 1)) return false;
    return this.verdictOfEvent() !== Verdict.FAIL && (this.isResumed || this.isGhost());
  }

  hasSide() {
    return this.side !== Side.NONE;
  }

  retryFollowsSide() {
    return this.hasSide() && this.retryHelps();
  }

  successorFollows() {
    return this.side === Side.OPENING && this.retryHelps();
  }

  isSecondRefused() {
    let error = this.rotationError;
    if (error === null && this.side === Side.OPENING) error = this.failure()?.error ?? null;
    const isLimit = isConnectionLimit(error) && !error.retryAfter;
    const isIdle = this.state === State.CONNECTED && this.now >= this.ghostUntil;
    return isLimit && isIdle && this.closesFirst && this.reconnect !== null;
  }

  isLastCaller() {
    return this.waiting === 1 && this.initiator === Initiator.CALLERS;
  }

  isLastRetryingCaller() {
    const { type, retries } = this.event;
    const isLast = type === 'CallerCancelled' && retries && this.retrying === 1;
    return isLast && this.initiator === Initiator.CALLERS && !this.meetsGhost;
  }

  isEarly() {
    const earlier = this.earlier();
    return this.now < this.notBefore || (earlier !== null && earlier.wait > 0);
  }

  namesDate() {
    return this.failureNamesDate() || this.isEarly(); // early: the end of the side connection was awaited since then
  }

  isAwaitedUntilDate() {
    return this.namesDate() && this.isResumed;
  }

  waitsForDate() {
    const earlier = this.earlier();
    if (earlier !== null) return this.isEarly() || earlier.backOff > 0;
    const backsOff = this.state === State.BACKING_OFF || this.afterClose === AfterClose.BACK_OFF;
    return (this.isEarly() || (this.inheritsOutage && backsOff)) && this.retries();
  }

  // --- what the guards and the actions read ---------------------------------------------------------------------------

  /** True if a failure of the present connection or attempt is followed by the next attempt, if that may help. */
  get isResumed() {
    const goesOn = this.initiator === Initiator.RESUME || this.initiator === Initiator.RETRYING;
    return this.state === State.CONNECTED || goesOn || this.retrying > 0;
  }

  /** True if the call wants further attempts after one that fails. */
  retries() {
    if (this.reconnect === null || !isCall(this.event)) return false;
    return this.event.retry ?? this.reconnect.first;
  }

  failureNamesDate() {
    return Boolean(this.failure()?.error.retryAfter);
  }

  /** The connection of another owner that the call resumes, if it does. */
  earlier() {
    return this.event.resumes ?? null;
  }

  /** The event, if it reports a failure with its error. */
  failure() {
    return isFailure(this.event) ? this.event : null;
  }

  /** The verdict on the present failure. */
  verdictOfEvent() {
    const event = this.failure();
    if (event === null) {
      return (this.event.type === 'TimerFired' && this.event.verdict) || Verdict.RETRY; // a missed deadline may pass
    }
    if (this.refusesToken(event)) {
      const failsAgain = this.refusals > 0 && event.isFreshToken;
      return failsAgain || this.refusals >= this.maxTokenRequests ? Verdict.FAIL : Verdict.NEW_TOKEN;
    }
    const given = event.verdict === Verdict.NEW_TOKEN ? null : event.verdict;
    return given ?? verdictOf(event.error);
  }

  /** True if the peer refused a token, and a function may give another one. */
  refusesToken(event) {
    const verdict = event.verdict ?? verdictOf(event.error, { renewsToken: true });
    return this.renewsToken && verdict === Verdict.NEW_TOKEN;
  }

  /** True if the present failure may be due to an earlier connection, which the server counts for a while. */
  isGhost() {
    const event = this.failure();
    return event !== null && this.isErrorOfGhost(event.error, this.now);
  }

  isErrorOfGhost(error, now) {
    return isConnectionLimit(error) && now < this.ghostUntil;
  }

  /** True if the event says that the server doesn't count this connection, which is to be closed now. */
  leavesPlace(epoch) {
    const { event } = this;
    if (event.type !== 'ConnectionFailing' || event.epoch !== epoch) return false;
    return event.byPeer || isConnectionLimit(event.error);
  }
}
