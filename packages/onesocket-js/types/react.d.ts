// The types of `onesocket/react`.

import type { ReactElement, ReactNode } from 'react';

import type {
  Auth,
  Gap,
  Identity,
  MessageClient,
  Notice,
  Notices,
  NoticeSink,
  OnesocketError,
  Outcome,
  State,
  Status,
  TokenFunction,
} from './index.js';

export interface WebSocketProviderProps {
  /** A URL, or a function that makes a client (its own, or by `join()`) of a token function. */
  client: string | URL | ((token: TokenFunction) => MessageClient<any, any>);
  /** Returns the signed-in identity, or a token, or null if no user is signed in. */
  auth: Auth;
  /** Providers with the same name share (default: the URL, or the function itself). */
  name?: string;
  /** Key of the signed-in user; null: none is. When it changes, the provider logs in or out. */
  user?: string | null | undefined;
  notices?: Notices | NoticeSink;
  service?: string;
  authTimeout?: number;
  /** Called with the failure of a connection that the provider itself has begun. */
  onError?: (error: unknown) => void;
  children?: ReactNode;
}
export declare function WebSocketProvider(props: WebSocketProviderProps): ReactElement;

export interface Connection<S = any> {
  readonly state: State;
  readonly isConnected: boolean;
  readonly isConnecting: boolean;
  readonly lastError: OnesocketError | null;
  readonly status: Status | null;
  readonly client: MessageClient<any, any> | null;
  connect(options?: { signal?: AbortSignal }): Promise<Outcome>;
  login(identity?: Identity | string | null, options?: { signal?: AbortSignal }): Promise<Outcome>;
  logout(): Promise<void>;
  send(message: S, options?: { resend?: boolean }): Promise<void>;
}
export declare function useConnection<S = any>(): Connection<S>;

export declare function useSubscription<M = any>(
  event: string | null,
  call: (message: M) => void,
  options?: { where?: ((message: M) => boolean) | null; keys?: string | readonly string[] | null; gaps?: false },
): void;
export declare function useSubscription<M = any>(
  event: string | null,
  call: (message: M | Gap) => void,
  options: { where?: ((message: M) => boolean) | null; keys?: string | readonly string[] | null; gaps: true },
): void;

export declare function useNotices(): readonly Notice[];

