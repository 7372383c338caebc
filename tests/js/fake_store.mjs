// A store of a durable outbox that the test moves: slow, failing, and outlasting the pages that use it.

import { OutboxInUse } from '../../packages/onesocket-js/src/index.js';

/** The disk of one outbox. What was not committed when its page crashed is lost. */
export class FakeStore {
  rows = new Map();
  /** The operations of each transaction. */
  log = [];
  /** True: each transaction waits in `held` until the test calls what is there. */
  holds = false;
  held = [];
  /** Returns the error of a transaction; null: it succeeds. */
  fails = () => null;
  openError = null;
  mostAtOnce = 0;
  isInUse = false;
  lose = null;
  #atOnce = 0;
  #lives = 0;

  async open(name, { onLost }) {
    if (this.holds) await new Promise((resolve) => this.held.push(resolve));
    if (this.openError !== null) throw this.openError;
    if (this.isInUse) throw new OutboxInUse(`the outbox ${name} is in use`);
    this.isInUse = true;
    this.#lives += 1;
    const life = this.#lives;
    this.lose = onLost;
    return {
      rows: structuredClone([...this.rows.values()].reverse()), // in any order
      apply: (operations) => this.#apply(life, structuredClone(operations)),
      close: async () => {
        if (life === this.#lives) this.isInUse = false;
      },
    };
  }

  /** The page that has it ends without a word. */
  crash() {
    this.#lives += 1;
    this.#atOnce = 0;
    this.isInUse = this.holds = false;
    this.held = [];
  }

  async #apply(life, operations) {
    if (life !== this.#lives) return new Promise(() => {});
    this.#atOnce += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#atOnce);
    if (this.holds) await new Promise((resolve) => this.held.push(resolve));
    await Promise.resolve();
    if (life !== this.#lives) return new Promise(() => {});
    this.#atOnce -= 1;
    const error = this.fails(operations);
    if (error !== null) throw error;
    this.log.push(operations.map(({ type, row, number }) => `${type} ${row?.number ?? number}`).join(', '));
    for (const { type, row, number } of operations) {
      if (type === 'put') this.rows.set(row.number, row);
      else this.rows.delete(number);
    }
    return undefined;
  }

  /** Lets the next held transactions, or all, go on. */
  release(count = this.held.length) {
    for (const go of this.held.splice(0, count)) go();
  }

  /** What is in it: the id of each message, and whether it may have arrived. */
  get left() {
    return [...this.rows.values()].sort((a, b) => a.number - b.number).map(({ messageId, mayHaveArrived }) => [messageId, mayHaveArrived]);
  }
}
