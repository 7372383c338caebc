// Completes the events of failures: by the verdict of the policy's function, and by the news of the token.

import { InvalidOption } from '../errors.js';
import { timeoutError } from '../lifecycle/actions.js';
import * as events from '../lifecycle/events.js';
import { State, TimerKind, Verdict } from '../lifecycle/table.js';

export class FailureJudge {
  #hook;
  #tokens;
  #report;
  #now;

  constructor({ reconnect, platform }, { tokens, report }) {
    this.#hook = reconnect?.verdict ?? null;
    this.#tokens = tokens;
    this.#report = report;
    this.#now = platform.now;
  }

  /** Returns the event with what is known of its failure; any other event as it is. */
  judged(event, machine) {
    if (events.isFailure(event)) {
      if (event.epoch !== machine.liveEpoch || machine.afterClose !== null) return event;
      return { ...event, verdict: event.verdict ?? this.#ask(machine, event.error), isFreshToken: this.#tokens.isFresh };
    }
    if (event.type === 'TimerFired' && event.kind === TimerKind.OPEN && machine.state === State.CONNECTING) {
      return { ...event, verdict: this.#ask(machine, timeoutError(machine.openTimeout, event.detail)) };
    }
    return event;
  }

  #ask(machine, error) {
    if (this.#hook === null || !machine.goesOnAfter(error, this.#now())) return null;
    try {
      const verdict = this.#hook(error) ?? null;
      if (verdict === null || Object.values(Verdict).includes(verdict)) return verdict;
      throw new InvalidOption(`ReconnectPolicy.verdict must return a Verdict or null at once, not ${typeof verdict}`);
    } catch (failure) {
      this.#report(failure);
      return null;
    }
  }
}
