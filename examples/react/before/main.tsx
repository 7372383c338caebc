import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { useWebSocket, WebSocketProvider } from './WebSocketContext';

function Component() {
  const { messages } = useWebSocket();
  return <p>{messages.join(' ')}</p>;
}

const url = new URLSearchParams(location.search).get('url')!;

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <WebSocketProvider url={url}>
      {Array.from({ length: 10 }, (_, index) => (
        <Component key={index} />
      ))}
    </WebSocketProvider>
  </StrictMode>,
);
