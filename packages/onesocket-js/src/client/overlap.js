// Merges the messages of a connection and its successor: each message once, in order, without a hole. Pure.

/** Counts of identities, as services repeat messages, on both connections. */
class Counts {
  #counts;

  constructor(counts = []) {
    this.#counts = new Map(counts);
  }

  add(identity, count = 1) {
    this.#counts.set(identity, (this.#counts.get(identity) ?? 0) + count);
  }

  /** Counts one message less; false: there is none. */
  take(identity) {
    const count = this.#counts.get(identity) ?? 0;
    if (count > 1) this.#counts.set(identity, count - 1);
    else this.#counts.delete(identity);
    return count > 0;
  }

  copy() {
    return new Counts(this.#counts);
  }
}

/**
 * The messages of two connections during one rotation.
 *
 * Until the successor takes over, its messages wait: what the old connection brings, too, is delivered from there. Then the
 * rest of them is delivered, and from then on each message from the connection that brings it first: both bring the same
 * messages in the same order, so nothing is doubled, reordered or lost. Only what one of them is ahead of the other is kept.
 *
 * A page can't ask the old connection by a PING whether it has brought everything. It has once both have brought one message
 * that came on the successor when that was subscribed; or if neither brings any.
 */
export class Overlap {
  #publish;
  #identity;
  #takeAnswer;
  #report;
  #now;
  /** Messages of the successor that wait: `{identity, message, at}`. */
  #held = [];
  /** Identities of messages that the old connection has brought, and the successor not yet; and the reverse. */
  #oldAhead = new Counts();
  #newAhead = new Counts();
  #late;
  #settledAt = Infinity;
  /** Time since then of the first message that the old connection has brought and the successor had not. */
  #oldAt = Infinity;
  #isProven = false;
  #ignoresOld = false;
  hasSwitched = false;

  /**
   * `publish(message, {hears})`: delivers one, which may be an answer to a frame of the authoritative connection if it
   * `hears`; `takeAnswer(message)`: true if a message of the successor is an answer that no reader wants; `late`: that of an
   * earlier overlap; `now()`: seconds.
   */
  constructor({ publish, identity, takeAnswer, report, now, late = new Counts() }) {
    this.#publish = publish;
    this.#identity = identity;
    this.#takeAnswer = takeAnswer;
    this.#report = report;
    this.#now = now;
    this.#late = late;
  }

  /** Identities of messages that were delivered, and whose copies the authoritative connection may still bring. */
  get late() {
    return (this.hasSwitched ? this.#oldAhead : this.#late).copy();
  }

  /** The successor is subscribed: it brings all messages from now on. */
  settled() {
    this.#settledAt = this.#now();
    this.#oldAt = Infinity;
    this.#isProven = false;
  }

  /** True if nothing is missing between what the two bring; `lag`: seconds that one may be behind the other. */
  hasCaughtUp(lag) {
    const until = this.#now() - lag;
    const isMissing = ({ identity, at }) => identity !== null && at >= this.#settledAt && at <= until;
    return this.#isProven || !(this.#oldAt <= until || this.#held.some(isMissing));
  }

  /**
   * Lets the successor take over: delivers its messages that the old connection has not brought. Otherwise than seamless,
   * after a loss and its gap, what the old connection still brings is of the past.
   */
  switch({ isSeamless }) {
    this.hasSwitched = true;
    this.#ignoresOld = !isSeamless;
    const held = this.#held.splice(0);
    for (const { identity } of held) if (identity !== null) this.#newAhead.add(identity);
    for (const { message } of held) this.#publish(message, { hears: false });
  }

  /** Takes a message of the old connection. */
  takeOld(message) {
    if (this.#ignoresOld) return;
    const identity = this.#identityOf(message);
    if (identity !== null && this.#late.take(identity)) {
      this.#oldAhead.add(identity);
      return;
    }
    if (identity !== null) {
      const isCopy = this.#release(identity) || this.#newAhead.take(identity);
      if (isCopy && this.hasSwitched) return;
      if (!isCopy) this.#aheadOfNew(identity);
    }
    this.#publish(message, { hears: !this.hasSwitched });
  }

  #aheadOfNew(identity) {
    this.#oldAhead.add(identity);
    const at = this.#now();
    if (at >= this.#settledAt) this.#oldAt = Math.min(this.#oldAt, at);
  }

  /** Takes a message of the successor. */
  takeNew(message) {
    if (!this.hasSwitched && this.#takeAnswer(message)) return;
    const identity = this.#identityOf(message);
    const at = this.#now();
    if (identity !== null && this.#oldAhead.take(identity)) {
      if (at >= this.#settledAt) this.#isProven = true;
      return;
    }
    if (!this.hasSwitched) {
      this.#held.push({ identity, message, at });
      return;
    }
    if (identity !== null) this.#newAhead.add(identity);
    this.#publish(message, { hears: true });
  }

  /** Drops a message of the successor that waits, as the old connection has brought it; false: there is none. */
  #release(identity) {
    const place = this.#held.findIndex((each) => each.identity === identity);
    if (place < 0) return false;
    const [{ at }] = this.#held.splice(place, 1);
    if (at >= this.#settledAt) this.#isProven = true;
    return true;
  }

  #identityOf(message) {
    try {
      return this.#identity(message) ?? null;
    } catch (error) {
      this.#report?.(error); // once in a rotation
      this.#report = null;
      return null;
    }
  }
}
