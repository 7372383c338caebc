// React binding: one connection for a tree of components, however often they are mounted.

import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useInsertionEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';

import { ConnectAborted, NoCurrentProvider } from '../errors.js';
import { Provider } from '../provider/provider.js';
import { ConnectionStore } from './connection-store.js';
import { acquire, release } from './provider-registry.js';

const Context = createContext(null);

/** Returns a reference to the value of the newest rendering that was committed: one that React gives up has none. */
function useNewest(value) {
  const newest = useRef(value);
  useInsertionEffect(() => {
    newest.current = value;
  });
  return newest;
}

/**
 * Provides the components below it with the one connection of the signed-in user.
 *
 * `client`: a URL, or a function that makes a client of a token function; `auth`: as of `Provider`; `name`: providers with
 * the same one share (default: the URL, or the function itself); `user`: the key of the signed-in user, null: none is signed in; when
 * it changes, the provider logs in or out. Without `user` the components call `login()` and `logout()`.
 */
export function WebSocketProvider({ client, auth, name, user, notices, service, authTimeout, onError, children }) {
  const [store] = useState(() => new ConnectionStore());
  const shared = name ?? (typeof client === 'function' ? null : String(client));
  const newest = useNewest({ client, auth, options: { notices, service, authTimeout }, onError });
  const entry = useRef(null);
  const last = useRef(null);

  // No layout effect: React ends those while a component below is suspended, and the connection has to outlast that.
  useEffect(() => {
    const { client: makeClient, auth: first, options } = newest.current;
    const make = (ask) => new Provider(makeClient, { ...definedOf(options), auth: ask });
    const acquired = acquire({ name: shared, client: makeClient, last: last.current }, make, first);
    entry.current = last.current = acquired;
    store.attach(acquired.provider);
    return () => {
      store.detach();
      entry.current = null;
      release(acquired);
    };
  }, [store, shared]);

  useEffect(() => {
    entry.current.auth = auth;
  }, [auth, shared]);

  // An effect for itself: another user must not mount anything anew.
  useEffect(() => {
    // The state and the notices tell of a failure; a log-out ends the call, which is no failure.
    follow(entry.current, user).catch((error) => {
      if (!(error instanceof ConnectAborted)) newest.current.onError?.(error);
    });
  }, [store, shared, user]);

  return createElement(Context.Provider, { value: store }, children);
}

/** Connects for the user who is signed in now, or logs out. */
async function follow(entry, user) {
  const { provider } = entry;
  const isOther = entry.user !== user;
  entry.user = user;
  if (user === null) return provider.logout();
  if (user === undefined || !(isOther || provider.status.isHeld)) return provider.connectIfAuthenticated();
  // A run for another user, whose token may have been asked for already, is given up.
  if (provider.status.isConnecting) provider.logout();
  return provider.login();
}

function definedOf(options) {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

function useStore(hook) {
  const store = useContext(Context);
  if (store === null) throw new NoCurrentProvider(`${hook}() was called outside <WebSocketProvider>`);
  return store;
}

/**
 * Returns the connection: `state`, `isConnected`, `isConnecting`, `lastError`, `status`, `client`, and the functions
 * `connect()`, `login()`, `logout()` and `send(message)`, which are the same at each render.
 */
export function useConnection() {
  const store = useStore('useConnection');
  const snapshot = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getServerSnapshot);
  const { connect, login, logout, send } = store;
  return { ...snapshot, connect, login, logout, send };
}

/**
 * Calls the newest `call` with each message of an event (null: with all); with `gaps: true` also where messages may be
 * missing; `keys` are subscribed to at the server. It goes on over any number of connections and users.
 */
export function useSubscription(event, call, { where = null, keys = null, gaps = false } = {}) {
  const store = useStore('useSubscription');
  const newest = useNewest({ call, where });
  const isSelective = where !== null;
  const wanted = JSON.stringify(keys); // a list that is made at each rendering is the same one
  useEffect(() => {
    const select = isSelective ? (message) => newest.current.where(message) : null;
    const options = { gaps, where: select, keys: JSON.parse(wanted) };
    return store.addReader(event, (message) => newest.current.call(message), options);
  }, [store, event, gaps, isSelective, wanted]);
}

/** Returns the notices that hold now, the oldest first. */
export function useNotices() {
  const store = useStore('useNotices');
  return useSyncExternalStore(store.subscribe, store.getNotices, store.getServerNotices);
}
