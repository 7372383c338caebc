// React binding: one connection for a tree of components, however often they are mounted.

import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';

import { NoCurrentProvider } from '../errors.js';
import { Provider } from '../provider/provider.js';
import { ConnectionStore } from './connection-store.js';
import { acquire, release } from './provider-registry.js';

const Context = createContext(null);
/** Runs before all effects of the components below, which may connect; on a server no effect runs. */
const useEarlyEffect = typeof document === 'undefined' ? useEffect : useLayoutEffect;

/**
 * Provides the components below it with the one connection of the signed-in user.
 *
 * `client`: a URL, or a function that makes a client of a token function; `auth`: as of `Provider`; `name`: providers with
 * the same one share (default: the URL, or "default"); `user`: the key of the signed-in user, null: none is signed in; when
 * it changes, the provider logs in or out. Without `user` the components call `login()` and `logout()`.
 */
export function WebSocketProvider({ client, auth, name, user, notices, service, authTimeout, onError, children }) {
  const [store] = useState(() => new ConnectionStore());
  const shared = name ?? (typeof client === 'string' ? client : 'default');
  const newest = useRef(null);
  newest.current = { client, auth, user, options: { notices, service, authTimeout }, onError };
  const entry = useRef(null);

  useEarlyEffect(() => {
    const { client: makeClient, auth: first, options } = newest.current;
    const make = (ask) => new Provider(makeClient, { ...definedOf(options), auth: ask });
    const acquired = acquire(shared, make, first);
    entry.current = acquired;
    store.attach(acquired.provider);
    return () => {
      store.detach();
      entry.current = null;
      release(shared, acquired);
    };
  }, [store, shared]);

  useEarlyEffect(() => {
    entry.current.auth = auth;
  }, [auth, shared]);

  // An effect for itself: another user must not mount anything anew.
  useEffect(() => {
    const { provider } = entry.current;
    const isHeld = provider.status.isHeld;
    let call = () => provider.connectIfAuthenticated();
    if (user === null) call = () => provider.logout();
    else if (user !== undefined && (isHeld || provider.client !== null)) call = () => provider.login();
    // The state and the notices tell of a failure; a log-out ends the call, which is no failure.
    call().catch((error) => newest.current.onError?.(error));
  }, [store, shared, user]);

  return createElement(Context.Provider, { value: store }, children);
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
 * missing. It goes on over any number of connections and users.
 */
export function useSubscription(event, call, { where = null, gaps = false } = {}) {
  const store = useStore('useSubscription');
  const newest = useRef(null);
  newest.current = { call, where };
  const isSelective = where !== null;
  useEffect(() => {
    const select = isSelective ? (message) => newest.current.where(message) : null;
    return store.addReader(event, (message) => newest.current.call(message), { gaps, where: select });
  }, [store, event, gaps, isSelective]);
}

/** Returns the notices that hold now, the oldest first. */
export function useNotices() {
  const store = useStore('useNotices');
  return useSyncExternalStore(store.subscribe, store.getNotices, store.getServerNotices);
}
