// The state machine: `handle(event, now)` returns effects, and is the only writer of the state.
//
// Clock, randomness, input and output stay outside: they come in as events and go out as effects. The transitions are
// data (table.js), made of the names of guards and actions.

import { IllegalEvent } from './actions.js';
import { isFailure, isOfConnection } from './events.js';
import { asEstablished } from './peer-errors.js';
import { SideActions } from './side-actions.js';
import { Initiator, LIMITS, Side, SIDE_TABLE, State, TABLE } from './table.js';

const IGNORE = 'ignore';

const isSameTimer = (timer, event) => timer !== null && timer.kind === event.kind && timer.epoch === event.epoch;

/** One connection's lifecycle; `handle` is the only way to change it. */
export class Machine extends SideActions {
  /** Returns an independent machine in the same condition. */
  copy() {
    return Object.assign(new Machine(this), this);
  }

  /** True if another attempt follows a failure with this error, unless the verdict on it is FAIL. */
  goesOnAfter(error, now) {
    return this.reconnect !== null && (this.isResumed || this.isErrorOfGhost(error, now));
  }

  /**
   * Takes one event at `now` (seconds, any monotonic clock) and returns the effects to perform, in order.
   *
   * Throws `IllegalEvent` for an event that can't happen in this state.
   */
  handle(event, now) {
    if (this.#isStale(event)) {
      this.stale += 1;
      return [];
    }
    this.event = this.#withErrorAsEstablished(event);
    this.now = now;
    this.effects = [];
    const isOfSide = this.side !== Side.NONE && this.#isOfSide(event);
    const cell = isOfSide ? SIDE_TABLE[this.side][event.type] : TABLE[this.state][event.type];
    if (Array.isArray(cell)) return this.#follow(cell.find((rule) => this.#holds(rule)));
    if (cell === IGNORE) return [];
    throw new IllegalEvent(`${event.type} in ${this.state}`);
  }

  #holds(rule) {
    const isOfClose = rule.closingTo === undefined || rule.closingTo === this.afterClose;
    return isOfClose && (rule.when === undefined || this[rule.when]());
  }

  #isStale(event) {
    if (isOfConnection(event)) return event.epoch !== this.liveEpoch && event.epoch !== this.sideEpoch;
    if (event.type !== 'TimerFired') return false;
    return !isSameTimer(this.timer, event) && !isSameTimer(this.sideTimer, event);
  }

  #isOfSide(event) {
    if (event.type === 'TimerFired') return isSameTimer(this.sideTimer, event);
    return isOfConnection(event) && event.epoch === this.sideEpoch;
  }

  /** Returns the same event, its error as it is meant for a connection that was up, if this one was. */
  #withErrorAsEstablished(event) {
    if (!isFailure(event) || this.reconnect === null) return event;
    const isDecided = event.verdict !== null || (this.renewsToken && event.error.refusesToken);
    const error = isDecided ? event.error : asEstablished(event.error);
    const wasUp = this.initiator === Initiator.RESUME || event.upFor >= LIMITS.minUptime;
    return error !== event.error && wasUp ? { ...event, error } : event;
  }

  #follow(rule) {
    for (const action of rule.do) this[action]();
    if (rule.afterClose !== undefined) this.afterClose = rule.afterClose;
    if (rule.to !== undefined) {
      const old = this.state;
      this.state = rule.to;
      if (rule.to !== State.CLOSING) this.afterClose = null;
      const { epoch, error, event } = this;
      this.effects.unshift({ type: 'StateChanged', old, new: rule.to, epoch, cause: event.type, error });
    }
    const { effects } = this;
    this.effects = [];
    return effects;
  }
}
