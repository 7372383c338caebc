import { createContext, type ReactNode, useContext, useEffect, useState } from 'react';

import { DiscordClient } from './DiscordClient';

interface Value {
  client: DiscordClient;
  messages: string[];
}

const WebSocketContext = createContext<Value | null>(null);

export function WebSocketProvider({ url, children }: { url: string; children: ReactNode }) {
  const [messages, setMessages] = useState<string[]>([]);
  const [client] = useState(() => new DiscordClient(url, (text) => setMessages((all) => [...all, text])));
  return <WebSocketContext.Provider value={{ client, messages }}>{children}</WebSocketContext.Provider>;
}

/** Each component that needs the connection connects, and tries again when the network is back. */
export function useWebSocket() {
  const value = useContext(WebSocketContext);
  if (value === null) throw new Error('useWebSocket() was called outside WebSocketProvider');
  const { client } = value;
  useEffect(() => {
    const connect = () => client.connect().catch((error) => console.error('[WebSocketProvider] failed:', error));
    connect();
    window.addEventListener('online', connect);
    return () => window.removeEventListener('online', connect);
  }, [client]);
  return value;
}
