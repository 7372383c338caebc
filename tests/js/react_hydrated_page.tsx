// A page that Node.js renders, when a URL is its argument, and that a browser hydrates.

import { Client, Json } from 'onesocket';
import { useConnection, useNotices, useSubscription, WebSocketProvider } from 'onesocket/react';
import { StrictMode, useEffect } from 'react';
import { hydrateRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';

declare const process: { argv: string[] };

const isServer = typeof document === 'undefined';
const url = isServer ? process.argv[2]! : new URLSearchParams(location.search).get('url')!;
const seen: number[] = [];

function Reader() {
  const { connect, state } = useConnection();
  const notices = useNotices();
  useSubscription('note', (note: any) => seen.push(note.n));
  useEffect(() => {
    void connect();
  }, [connect]);
  return <p>{`${state}, ${notices.length} notices`}</p>;
}

const make = () => new Client(url, { logger: null, protocol: new Json({ event: 'type' }) });
const page = (
  <StrictMode>
    <WebSocketProvider client={make} auth={() => 'token'}>
      <Reader />
    </WebSocketProvider>
  </StrictMode>
);

if (isServer) {
  console.log(renderToString(page));
} else {
  Object.assign(window, { seen });
  const root = document.getElementById('root')!;
  Object.assign(root.querySelector('p')!, { isOfServer: true }); // an element that React makes anew has not got it
  hydrateRoot(root, page);
}
