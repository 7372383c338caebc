// A page for tests of the React binding: the test mounts and unmounts it, and changes its user.

import { Client, Json, ReconnectPolicy, Subscriptions, TokenQuery } from 'onesocket';
import { useConnection, useNotices, useSubscription, WebSocketProvider } from 'onesocket/react';
import { StrictMode, Suspense, use, useEffect, useState } from 'react';
import { createRoot, type Root } from 'react-dom/client';

declare global {
  interface Window {
    page: { mount(props: { version?: number; user?: string | null; keys?: string[][] }): void; unmount(): void; suspend(): void; resume(): void };
    seen: unknown[];
    failures: string[];
    connection: ReturnType<typeof useConnection>;
    notices: string[];
    token: string | null | Promise<string>;
  }
}

Object.assign(window, { seen: [], failures: [], notices: [], token: 'of-alice' });
const url = new URLSearchParams(location.search).get('url')!;

function Reader() {
  const connection = useConnection();
  const notices = useNotices();
  const { connect } = connection;
  useSubscription('note', (item: any) => window.seen.push(item.reason ?? item.n), { gaps: true });
  useEffect(() => {
    connect().catch((error) => window.failures.push(error.name));
  }, [connect]);
  Object.assign(window, { connection, notices: notices.map(({ id }) => id) });
  return <p id="state">{connection.state}</p>;
}

/** Reads the messages of keys; the list is another one at each rendering. */
function KeyReader({ keys }: { keys: string[] }) {
  useSubscription(null, (item: any) => window.seen.push(`${item.key} of ${keys}`), { keys: [...keys] });
  return null;
}

/** Has the tree suspended until `page.resume()`, as a component that waits for data does. */
function Pausing() {
  const [pause, setPause] = useState<Promise<void> | null>(null);
  window.page.suspend = () => setPause(new Promise((resolve) => (window.page.resume = resolve)));
  if (pause !== null) use(pause);
  return null;
}

const subscriptions = new Subscriptions({
  subscribe: (keys) => ({ subscribe: keys }),
  unsubscribe: (keys) => ({ unsubscribe: keys }),
  key: (message: any) => message.key,
});

const make = (token: any) =>
  new Client(url, {
    token,
    logger: null,
    protocol: new Json({ event: 'type', tokenPlace: new TokenQuery(), subscriptions }),
    reconnect: new ReconnectPolicy({ initial: 0.05, cap: 0.1 }),
  });

let root: Root | null = null;

window.page = {
  // Another `version` mounts everything anew, as a hot reload does that can't keep the state. `keys`: a reader for each list.
  mount: ({ version = 1, user, keys = [] }) => {
    root ??= createRoot(document.getElementById('root')!);
    root.render(
      <StrictMode>
        <Suspense fallback={<p id="waiting" />}>
          <WebSocketProvider key={version} client={make} auth={() => window.token} user={user}>
            <Reader />
            <Reader />
            {keys.map((each, number) => (
              <KeyReader key={number} keys={each} />
            ))}
            <Pausing />
          </WebSocketProvider>
        </Suspense>
      </StrictMode>,
    );
  },
  unmount: () => {
    root?.unmount();
    root = null;
  },
  suspend: () => {},
  resume: () => {},
};
