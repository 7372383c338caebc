// Writes to the store of a `DurableOutbox`: one transaction for all that came during the last one.

import { notStored, RowRefused } from './stored-errors.js';

/** Seconds after which deletions that failed are tried again. */
const RETRY = 1;

/** An operation that adds a message. */
export const insert = (row) => ({ kind: 'insert', row, puts: [row], deletes: [] });
/** An operation that writes messages anew, as their marks have changed; `entries`: those of the rows. */
export const mark = (entries, rows) => ({ kind: 'mark', entries, puts: rows, deletes: [] });
/** An operation that removes a message, if it is there. */
export const remove = (number) => ({ kind: 'remove', puts: [], deletes: [number] });

const ofStore = ({ puts, deletes }) => [
  ...puts.map((row) => ({ type: 'put', row })),
  ...deletes.map((number) => ({ type: 'delete', number })),
];

/** A batch without some of its new messages. */
function without(inserts, batch) {
  const refused = new Set(inserts.map(({ row }) => row.number));
  const isLeft = ({ number }) => !refused.has(number); // a mark would add its message
  return batch.filter((each) => !inserts.includes(each)).map((each) => ({ ...each, puts: each.puts.filter(isLeft) }));
}

/**
 * Writes in order; there is never more than one transaction. `report(operations, error)` is called with those that are in the
 * store, `error` null, or that failed.
 */
export class StoreWriter {
  #store;
  #shown;
  #platform;
  #report;
  #inbox = [];
  /** Deletions that failed. */
  #overdue = [];
  #isWriting = false;
  #cancelRetry = null;
  #closed = null;
  #close;

  /** `store`: an open one; `shown`: its name for texts. */
  constructor(store, { shown, platform, report }) {
    this.#store = store;
    this.#shown = shown;
    this.#platform = platform;
    this.#report = report;
  }

  /** Writes this, soon, behind what was submitted before. */
  submit(operation) {
    this.#inbox.push(operation);
    if (this.#inbox.length === 1) queueMicrotask(() => this.#write());
  }

  /** Writes what was submitted, and closes the store; resolves then. */
  close() {
    if (this.#closed !== null) return this.#closed;
    this.#closed = new Promise((resolve) => {
      this.#close = resolve;
    });
    this.#write();
    return this.#closed;
  }

  async #write() {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#cancelRetry?.();
    this.#cancelRetry = null;
    do {
      let batch = this.#inbox.splice(0);
      if (this.#overdue.length + batch.length === 0) break;
      let error = await this.#apply([...this.#overdue, ...batch]);
      for (let refused; (refused = this.#refusedBy(error, batch)) !== undefined; ) {
        this.#report([refused], error);
        batch = without([refused], batch);
        error = await this.#apply([...this.#overdue, ...batch]);
      }
      const inserts = batch.filter(({ kind }) => kind === 'insert');
      if (error !== null && inserts.length > 0) await this.#writeOthers(batch, inserts, error);
      else this.#done(batch, error);
    } while (this.#inbox.length > 0);
    if (this.#closed !== null) {
      await this.#end(); // and nothing more is written
      return;
    }
    this.#isWriting = false;
    if (this.#overdue.length > 0) this.#cancelRetry = this.#platform.setTimer(RETRY, () => this.#write());
  }

  /** Writes the others of a batch whose new messages have no room: what is sent and removed makes room. */
  async #writeOthers(batch, inserts, error) {
    this.#report(inserts, error);
    const others = without(inserts, batch);
    const operations = [...this.#overdue, ...others];
    if (operations.length > 0) this.#done(others, await this.#apply(operations));
  }

  /** The new message that the store can't take, whatever room there is; undefined: the error is one of all. */
  #refusedBy(error, batch) {
    if (!(error?.cause instanceof RowRefused)) return undefined;
    return batch.find(({ kind, row }) => kind === 'insert' && row.number === error.cause.number);
  }

  /** These, and the deletions that were overdue, are in the store, or failed. */
  #done(operations, error) {
    const all = [...this.#overdue, ...operations];
    this.#overdue = error === null ? [] : all.filter(({ kind }) => kind === 'remove');
    this.#report(operations, error);
  }

  /** Returns the error; null: the store has all of them. */
  async #apply(operations) {
    try {
      await this.#store.apply(operations.flatMap(ofStore));
      return null;
    } catch (cause) {
      return notStored(this.#shown, cause);
    }
  }

  async #end() {
    try {
      await this.#store.close();
    } catch (cause) {
      this.#report([], notStored(this.#shown, cause));
    }
    this.#close();
  }
}
