// A reader's stream of messages, made by `subscribe()`.

import { Queue } from './queue.js';

/**
 * A stream for one reader: `for await (const message of client.subscribe())`. It goes on over any number of
 * connections, with a `Gap` wherever messages may be missing, and ends with `close()` or with the client.
 */
export class Subscription {
  #queue;
  #leave;

  constructor(options, leave) {
    this.#queue = new Queue(options);
    this.#leave = leave;
  }

  /** The queue, for the fan-out. */
  get queue() {
    return this.#queue;
  }

  /** Number of messages that were dropped, by `overflow: "drop_oldest"`. */
  get dropped() {
    return this.#queue.dropped;
  }

  /** Number of messages and gaps that wait to be read. */
  get size() {
    return this.#queue.size;
  }

  next() {
    return this.#queue.next();
  }

  /** Ends the stream: a `for await` that is left calls it. */
  return(value) {
    this.close();
    return Promise.resolve({ value, done: true });
  }

  /** Ends the stream, and forgets what waits. */
  close() {
    this.#leave();
    this.#queue.clear();
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
