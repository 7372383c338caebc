// The events of the machine; each event of a socket or a timer carries its epoch.

/**
 * The end of a connection that another tab had, for the one that resumes it. `wait`: seconds until the date that the server
 * named for the next attempt. `failures`: those in a row that the other tab counted, the loss of the connection among them;
 * `error`: the last one. `away`: seconds since the first one. `backOff`: seconds until the attempt that it would have made.
 */
export const earlierConnection = ({ wait = 0, failures = 1, away = 0, backOff = 0, error = null } = {}) => ({
  wait,
  failures,
  away,
  backOff,
  error,
});
/** `resumes`: the connection that the attempt resumes, if another tab had it. */
export const connect = ({ wait = true, retry = null, resumes = null } = {}) => ({ type: 'Connect', wait, retry, resumes });
export const reconnect = ({ wait = true, retry = null } = {}) => ({ type: 'Reconnect', wait, retry });
export const rotate = ({ wait = true, retry = null } = {}) => ({ type: 'Rotate', wait, retry, resumes: null });
/** A caller that waited was cancelled; `retries`: it would have waited for further attempts. */
export const callerCancelled = (retries = false) => ({ type: 'CallerCancelled', retries });
export const disconnect = () => ({ type: 'Disconnect' });
export const close = () => ({ type: 'Close' });
/** The WebSocket is open; the protocol's login begins. */
export const opened = (epoch) => ({ type: 'Opened', epoch });
/** The login has to wait for its turn: the deadline of the attempt moves by so many seconds. */
export const deadlineExtended = (epoch, seconds) => ({ type: 'DeadlineExtended', epoch, seconds });
/** The protocol is logged in. */
export const protocolReady = (epoch) => ({ type: 'ProtocolReady', epoch });

/**
 * The connection can't go on, but its socket exists. `code` and `reason` go into the CLOSE frame; `dead`: the peer
 * doesn't answer any more; `upFor`: seconds since the connection was ready; `byPeer`: the peer closed it; `verdict`:
 * that of the policy's function; `isFreshToken`: the token isn't the one that was refused before.
 */
export const connectionFailing = (epoch, error, options = {}) => ({
  type: 'ConnectionFailing',
  epoch,
  error,
  code: 1000,
  reason: '',
  dead: false,
  upFor: 0,
  byPeer: false,
  verdict: null,
  isFreshToken: true,
  ...options,
});

/** No socket of this epoch is left: its last event. `jitter` is a random number in [0, 1) for the back-off. */
export const connectionGone = (epoch, error, options = {}) => ({
  type: 'ConnectionGone',
  epoch,
  error,
  jitter: 1,
  upFor: 0,
  verdict: null,
  isFreshToken: true,
  ...options,
});

/** The timer that was set with this kind and epoch fired; `detail`: the phase that the attempt was in. */
export const timerFired = (epoch, kind, { detail = '', verdict = null } = {}) => ({
  type: 'TimerFired',
  epoch,
  kind,
  detail,
  verdict,
});

export const isCall = (event) => event.type === 'Connect' || event.type === 'Reconnect' || event.type === 'Rotate';
export const isFailure = (event) => event.type === 'ConnectionFailing' || event.type === 'ConnectionGone';
export const isOfConnection = (event) =>
  isFailure(event) || event.type === 'Opened' || event.type === 'DeadlineExtended' || event.type === 'ProtocolReady';
/** The effects that answer the call of which the event tells. */
export const isAnswer = (effect) =>
  ['ReturnOutcome', 'RaiseError', 'AwaitOutcome', 'ReturnAtOnce', 'AwaitEnd'].includes(effect.type);
