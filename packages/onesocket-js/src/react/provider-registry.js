// The providers of a page by name: a component that is mounted again finds the provider that it had.

/** Seconds that a provider outlives its last component: development mounts twice, and a hot reload mounts anew. */
const LINGER_SECONDS = 0.5;
const REGISTRY = Symbol.for('onesocket.react.providers');

/** In the global object, so that a hot reload of this module keeps it. */
const entries = (globalThis[REGISTRY] ??= new Map());

/** One provider, with the number of components that are mounted. */
class Entry {
  count = 0;
  timer = null;
  /** The user whom it has been connected for. */
  user;

  constructor(make, auth) {
    /** The newest `auth`: the provider asks it for each attempt. */
    this.auth = auth;
    this.provider = make((...all) => this.auth(...all));
  }
}

/** Returns the entry of this name, which `make(auth)` makes unless it is there; `release` follows. */
export function acquire(name, make, auth) {
  const entry = entries.get(name) ?? new Entry(make, auth);
  entries.set(name, entry);
  clearTimeout(entry.timer);
  entry.auth = auth;
  entry.count += 1;
  return entry;
}

/** A component is unmounted: without another one, the provider is closed soon. */
export function release(name, entry) {
  entry.count -= 1;
  if (entry.count > 0) return;
  entry.timer = setTimeout(() => {
    entries.delete(name);
    entry.provider.close();
  }, LINGER_SECONDS * 1000);
}
