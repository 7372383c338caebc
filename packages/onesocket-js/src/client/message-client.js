// What a client of one's own and one that tabs share have in common: readers, and watchers of the state.

import { State } from '../lifecycle/table.js';
import { FanOut } from './fan-out.js';
import { StateWatchers } from './state-watchers.js';

/** Calls `onError`; what that raises goes to the console. */
function guarded(onError) {
  return (error) => {
    const failed = (failure) => console.error(failure);
    try {
      const result = onError(error);
      if (typeof result?.then === 'function') result.then(null, failed); // in Node.js it would end the process
    } catch (failure) {
      failed(failure);
    }
  };
}

/** Returns the parts of a client that its own class and `MessageClient` both use; `eventOf`: the name of a message's event. */
export function makeParts({ eventOf, keysOf, onError, platform }) {
  const report = guarded(onError);
  const watchers = new StateWatchers(report);
  const fanOut = new FanOut({ eventOf, keysOf, report });
  /** Tells the watchers of a change; after CLOSED the readers end. */
  const tell = (change) => {
    watchers.tell(change);
    if (change.new === State.CLOSED) fanOut.end();
  };
  return { fanOut, watchers, report, tell, platform };
}

/** Base of clients. A subclass defines `state`, `status`, `close()`, and the calls. */
export class MessageClient {
  #watchers;
  #fanOut;
  #platform;

  constructor({ fanOut, watchers, platform }) {
    this.#fanOut = fanOut;
    this.#watchers = watchers;
    this.#platform = platform;
  }

  /** True if the connection is open and logged in. */
  get isConnected() {
    return this.state === State.CONNECTED;
  }

  /** Number of the present connection, or of the last one. */
  get epoch() {
    return this.status.epoch;
  }

  /** The server's answer to the upgrade of the present connection: `subprotocol`, the one that it chose; null: none is open. */
  get handshake() {
    return this.status.handshake ?? null;
  }

  /** Calls `watcher` with each change of the state, soon after it; returns the function that ends that. */
  onChange(watcher) {
    return this.#watchers.add(watcher);
  }

  /** Returns a stream of the changes of the state from now on, which ends with the client. */
  changes() {
    return this.#watchers.stream();
  }

  /** Resolves when the client is in this state, or in one of these; rejects with `WaitTimeout`, or `ClientClosed`. */
  waitFor(states, { timeout = null } = {}) {
    return this.#watchers.waitFor(states, { timeout, now: () => this.state, platform: this.#platform });
  }

  /**
   * Returns a stream for one reader, of all messages or of an event's. `where(message)` is true of the messages that are
   * wanted; `keys` are subscribed to at the server, and the stream has their messages alone. `limit` messages may wait, and
   * beyond it the rule `overflow` ("fail" or "drop_oldest") is in force.
   */
  subscribe(event = null, options = {}) {
    return this.#fanOut.subscribe(event, options);
  }

  /** Calls a function with each message, `on(call)`, or with those of an event, `on(event, call)`; returns the end of it. */
  on(...parameters) {
    const event = typeof parameters[0] === 'function' ? null : parameters.shift();
    const [call, options] = parameters;
    return this.#fanOut.on(event, call, options);
  }

  /** Ends the calls of a function that was given to `on()`. */
  off(call) {
    this.#fanOut.off(call);
  }

  [Symbol.asyncIterator]() {
    return this.subscribe();
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }
}
