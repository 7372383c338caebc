import { Client, Json, TokenQuery } from 'onesocket';
import { useConnection, useNotices, useSubscription, WebSocketProvider } from 'onesocket/react';
import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

interface Note {
  type: 'note';
  text: string;
}

function Component() {
  const { connect, state } = useConnection();
  const [notes, setNotes] = useState<string[]>([]);
  useSubscription('note', (note: Note) => setNotes((all) => [...all, note.text]));
  useEffect(() => {
    const connectNow = () => connect().catch(() => {}); // the notices tell of a failure
    connectNow();
    window.addEventListener('online', connectNow);
    return () => window.removeEventListener('online', connectNow);
  }, [connect]);
  return (
    <p className={state}>
      {state}: {notes.join(' ')}
    </p>
  );
}

function Toasts() {
  return (
    <ul>
      {useNotices().map(({ id, title, text }) => (
        <li key={id}>
          {title}: {text}
        </li>
      ))}
    </ul>
  );
}

function SignOut() {
  const { login, logout, state } = useConnection();
  return state === 'stopped' ? (
    <button onClick={() => login()}>Sign in</button>
  ) : (
    <button onClick={() => logout()}>Sign out</button>
  );
}

const url = new URLSearchParams(location.search).get('url')!;
const protocol = new Json<Note>({ event: 'type', tokenPlace: new TokenQuery() });

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <WebSocketProvider client={(token) => new Client(url, { token, protocol })} auth={async () => 'a ticket'}>
      {Array.from({ length: 10 }, (_, index) => (
        <Component key={index} />
      ))}
      <Toasts />
      <SignOut />
    </WebSocketProvider>
  </StrictMode>,
);
