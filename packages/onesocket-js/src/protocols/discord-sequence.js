// Sequence numbers of a Discord session: which dispatches were delivered, so that a replay delivers none twice.

/** Numbers that were skipped and are still expected: more are forgotten, the oldest first. */
const MAX_SKIPPED = 1024;

export class Sequence {
  /** The highest so far; null before the first. */
  last = null;
  /** True if a skipped number was lost with its connection. */
  hasLost = false;
  #skipped = new Set();

  /** Counts this number as seen; returns false if it was seen before. */
  isNew(number) {
    if (this.last === null || number > this.last) {
      this.#remember(this.last === null ? 0 : this.last + 1, number);
      this.last = number;
      return true;
    }
    return this.#skipped.delete(number); // out of order, but not twice
  }

  /** Begins with the number of READY: there are none before it. */
  begin(number) {
    this.isNew(number);
    for (const skipped of this.#skipped) if (skipped < number) this.#skipped.delete(skipped);
  }

  /** Returns the number to resume after. Skipped numbers before it count as lost. */
  resume() {
    this.hasLost ||= this.#skipped.size > 0;
    this.#skipped.clear();
    return this.last;
  }

  #remember(first, end) {
    for (let number = Math.max(first, end - MAX_SKIPPED); number < end; number += 1) this.#skipped.add(number);
    for (const oldest of this.#skipped) {
      if (this.#skipped.size <= MAX_SKIPPED) break;
      this.#skipped.delete(oldest);
    }
  }
}
