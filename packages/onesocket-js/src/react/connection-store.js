// What the hooks read: the provider's state as React's external stores want it, and the readers of the components.

import { UsageError } from '../errors.js';
import { State } from '../lifecycle/table.js';

/** What there is before a provider is attached, and on a server: no connection, no notice. */
const NOTHING = Object.freeze({
  state: State.DISCONNECTED,
  isConnected: false,
  isConnecting: false,
  lastError: null,
  status: null,
  client: null,
});
const NO_NOTICES = Object.freeze([]);
/** Seconds for which calls wait for a component that is unmounted to be mounted again, as development does. */
const REMOUNT_SECONDS = 0.5;

function deferred() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** The bridge between one `<WebSocketProvider>` and the components below it. It opens nothing by itself. */
export class ConnectionStore {
  #provider = null;
  #client = null;
  #detach = [];
  #readers = new Map();
  #listeners = new Set();
  #snapshot = NOTHING;
  #notices = NO_NOTICES;
  #attached = deferred();

  // Bound: React compares functions.
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = () => this.#snapshot;
  getNotices = () => this.#notices;
  getServerSnapshot = () => NOTHING;
  getServerNotices = () => NO_NOTICES;

  /** Connects if a user is signed in; a component may call it, as often as it likes. */
  connect = async (options) => (await this.#required()).connectIfAuthenticated(options);
  login = async (identity, options) => (await this.#required()).login(identity, options);
  logout = async () => (await this.#required()).logout();

  send = async (message, options) => {
    const client = this.#client ?? (await this.#attached.promise)?.client ?? null; // a provider that is mounted anew has one
    if (client === null) throw new UsageError('there is no client yet: no user is signed in');
    return client.send(message, options);
  };

  async #required() {
    // Effects of a component below are called before those of the provider, which may be unmounted again in the same turn.
    const provider = await this.#attached.promise;
    if (provider === null) throw new UsageError('<WebSocketProvider> is not mounted');
    return provider;
  }

  /** The component is mounted: its provider is this one. */
  attach(provider) {
    this.#provider = provider;
    this.#attached.resolve(provider);
    const update = () => this.#update();
    this.#detach = [provider.onChange(update), provider.notices.add({ show: update, withdraw: update })];
    this.#update();
  }

  /** The component is unmounted. */
  detach() {
    for (const detach of this.#detach.splice(0)) detach();
    this.#provider = null;
    this.#attached = deferred();
    setTimeout(this.#attached.resolve, REMOUNT_SECONDS * 1000, null);
    this.#update();
  }

  /** Adds a reader, which goes on over any number of clients; returns the function that removes it. */
  addReader(event, call, options) {
    const reader = { event, call, options };
    this.#readers.set(reader, this.#attachReader(reader));
    return () => {
      this.#readers.get(reader)?.();
      this.#readers.delete(reader);
    };
  }

  #attachReader({ event, call, options }) {
    return this.#client?.on(event, call, options) ?? null;
  }

  #update() {
    const client = this.#provider?.client ?? null;
    if (client !== this.#client) {
      this.#client = client;
      for (const [reader, off] of this.#readers) {
        off?.();
        this.#readers.set(reader, this.#attachReader(reader));
      }
    }
    this.#notices = this.#provider?.notices.active ?? NO_NOTICES;
    this.#snapshot = this.#makeSnapshot(client);
    for (const listener of [...this.#listeners]) listener();
  }

  #makeSnapshot(client) {
    if (this.#provider === null) return NOTHING;
    const { isConnecting } = this.#provider.status;
    const status = client?.status ?? null;
    const state = status?.state ?? State.DISCONNECTED;
    return Object.freeze({
      state,
      isConnected: state === State.CONNECTED,
      isConnecting: isConnecting || state === State.CONNECTING,
      lastError: status?.lastError ?? null,
      status,
      client,
    });
  }
}
