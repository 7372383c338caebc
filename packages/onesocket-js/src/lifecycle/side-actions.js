// The actions of the side connection: the one beside the authoritative connection, while a rotation lasts.

import { Actions, IllegalEvent, timeoutError } from './actions.js';
import { Side, State, TimerKind, Verdict } from './table.js';

export class SideActions extends Actions {
  dialSuccessor() {
    this.lastEpoch += 1;
    [this.side, this.sideEpoch] = [Side.OPENING, this.lastEpoch];
    this.sideOpened = this.sideHasPlace = false;
    this.rotationError = null;
    this.#setSideTimer(TimerKind.OPEN, this.now + this.openTimeout);
    this.effects.push({ type: 'DialSuccessor', epoch: this.lastEpoch });
  }

  markSideOpened() {
    this.sideOpened = this.sideHasPlace = true;
  }

  extendSideDeadline() {
    const seconds = this.event.type === 'DeadlineExtended' ? this.event.seconds : 0;
    this.#setSideTimer(TimerKind.OPEN, this.sideTimerAt + seconds);
  }

  /** The successor failed: keeps the reason, the date that the server named, and the refusal of a token. */
  noteRefusal() {
    const failure = this.failure();
    if (failure === null) {
      this.rotationError = timeoutError(this.openTimeout, this.event.type === 'TimerFired' ? this.event.detail : '');
      return;
    }
    this.rotationError = failure.error;
    this.noteDate(failure.error);
    if (this.verdictOfEvent() === Verdict.NEW_TOKEN) {
      this.effects.push({ type: 'ReportRefusedToken', error: failure.error });
    }
  }

  /** Closes a side connection that is not being closed yet; aborts it if its peer is known to be dead. */
  closeSide() {
    if (this.side !== Side.OPENING) return;
    this.side = Side.CLOSING;
    const epoch = this.#getSideEpoch();
    let [code, reason] = [1000, ''];
    const { event } = this;
    if (this.leavesPlace(epoch)) this.sideHasPlace = false;
    if (event.type === 'ConnectionFailing' && event.epoch === epoch) {
      if (event.dead) {
        this.abortSide();
        return;
      }
      ({ code, reason } = event);
    }
    if (this.sideOpened) this.setSideCloseTimeout();
    this.effects.push({ type: 'CloseConnection', epoch, code, reason });
  }

  setSideCloseTimeout() {
    this.#setSideTimer(TimerKind.CLOSE, this.now + this.closeTimeout);
  }

  abortSide() {
    this.side = Side.CLOSING;
    this.#cancelSideTimer();
    const code = this.event.type === 'ConnectionFailing' ? this.event.code : null;
    this.effects.push({ type: 'Abort', epoch: this.#getSideEpoch(), code });
  }

  markSideGone() {
    if (this.sideHasPlace) this.noteGhost();
    this.noteRefusalWhileClosing();
    this.#forgetSide();
  }

  /** The side connection becomes the authoritative one; that one, unless it is gone, the side connection. */
  takeOver() {
    [this.timer, this.timerAt] = [this.sideTimer, this.sideTimerAt];
    const before = this.liveEpoch;
    this.epoch = this.liveEpoch = this.#getSideEpoch();
    this.sideEpoch = before;
    [this.opened, this.sideOpened] = [this.sideOpened, this.opened];
    [this.hasPlace, this.sideHasPlace] = [this.sideHasPlace, this.hasPlace];
    if (this.timer === null) this.effects.push({ type: 'CancelTimer', isSide: false });
    else this.effects.push({ type: 'SetTimer', ...this.timer, at: this.timerAt, isSide: false });
    this.#cancelSideTimer();
    if (this.sideEpoch === null) this.#forgetSide();
    this.effects.push({ type: 'TakeOver', epoch: this.epoch });
  }

  /** The rotation is over: its callers get its result, unless they wait for another attempt by now. */
  settleRotation() {
    if (this.state !== State.CONNECTED) return;
    if (this.rotationError !== null) this.reject(this.rotationError);
    else this.resolveWaiting();
  }

  #getSideEpoch() {
    if (this.sideEpoch === null) throw new IllegalEvent('there is no side connection');
    return this.sideEpoch;
  }

  #forgetSide() {
    if (this.sideTimer !== null) this.#cancelSideTimer();
    [this.side, this.sideEpoch] = [Side.NONE, null];
    this.sideOpened = this.sideHasPlace = false;
  }

  #setSideTimer(kind, at) {
    this.sideTimer = { kind, epoch: this.#getSideEpoch() };
    this.sideTimerAt = at;
    this.effects.push({ type: 'SetTimer', ...this.sideTimer, at, isSide: true });
  }

  #cancelSideTimer() {
    this.sideTimer = null;
    this.effects.push({ type: 'CancelTimer', isSide: true });
  }
}
