// The providers of a page by name: a component that is mounted again finds the provider that it had.

/** Seconds that a provider outlives its last component: development mounts twice, and a hot reload mounts anew. */
const LINGER_SECONDS = 0.5;
const REGISTRY = Symbol.for('onesocket.react.providers');
const WARNING =
  'onesocket: <WebSocketProvider> is mounted with several client functions and without a name, so that each has a connection: ' +
  'give each a name, or all the same one to share';

/** By name, or by number for those without; in the global object, so that a hot reload of this module keeps it. */
const entries = (globalThis[REGISTRY] ??= new Map());

/** One provider, with the number of components that are mounted. */
class Entry {
  count = 0;
  timer = null;
  /** The user whom it has been connected for. */
  user;

  /** `predecessor`: the end of the provider whose place it takes; nothing is opened before that. */
  constructor({ key, client, make, auth, predecessor }) {
    this.key = key;
    this.client = client;
    /** The newest `auth`: the provider asks it for each attempt. */
    this.auth = auth;
    this.provider = make(async (...all) => {
      await predecessor;
      return this.auth(...all);
    });
    entries.set(key, this);
  }

  /** Closes the provider; returns a promise of its end, which never rejects. */
  end() {
    clearTimeout(this.timer);
    entries.delete(this.key);
    return this.provider.close().catch(() => {});
  }
}

/**
 * Returns the entry of a name, which `make(auth)` makes unless it is there; `release` follows. Components without a name
 * (null) share if they have the same `client` function: another one may have another server, which must not get the tokens
 * of the first. `last`: the entry that this component had.
 */
export function acquire({ name, client, last }, make, auth) {
  const entry = (name === null ? findUnnamed(client, last) : entries.get(name)) ?? add({ name, client, make, auth });
  clearTimeout(entry.timer);
  entry.auth = auth;
  entry.count += 1;
  return entry;
}

function unnamed() {
  return [...entries.values()].filter(({ key }) => typeof key === 'number');
}

function findUnnamed(client, last) {
  return unnamed().find((entry) => entry === last || entry.client === client);
}

function add({ name, client, make, auth }) {
  if (name !== null) return new Entry({ key: name, client, make, auth });
  const others = unnamed();
  // Of a component that has just been unmounted: a hot reload has another function, and no second connection.
  const unused = others.find(({ count }) => count === 0);
  if (others.some(({ count }) => count > 0)) console.warn(WARNING);
  const key = 1 + Math.max(0, ...others.map((each) => each.key));
  return new Entry({ key, client, make, auth, predecessor: unused?.end() });
}

/** A component is unmounted: without another one, the provider is closed soon. */
export function release(entry) {
  entry.count -= 1;
  if (entry.count === 0) entry.timer = setTimeout(() => entry.end(), LINGER_SECONDS * 1000);
}
