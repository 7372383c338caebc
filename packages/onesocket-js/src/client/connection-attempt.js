// One epoch: from asking for the token to the end of its WebSocket.

import {
  ConnectAborted,
  ConnectFailed,
  DecodeError,
  OnesocketError,
  URLFailed,
} from '../errors.js';
import * as events from '../lifecycle/events.js';
import { closedByPeer, connectionReset } from '../lifecycle/peer-errors.js';
import { checkUrl, redact } from '../urls.js';
import { TokenUnchanged } from './token-requests.js';

const ABNORMAL = 1006;
const NO_CODE = 1005;
/** In the place of a code that a page may not send: it may send 1000, and 3000 to 4999. */
const OTHER_CODE = 4000;
const MAX_REASON_BYTES = 123;
/** Seconds for the end of a socket that is to be ended now: a page can't reset a connection. */
const ABORT_SECONDS = 1;

const Phase = Object.freeze({ TOKEN: 'token', OPENING: 'opening', LOGIN: 'login', READY: 'ready', ENDED: 'ended' });
const PHASE_WORDS = {
  [Phase.TOKEN]: 'waiting for the token',
  [Phase.OPENING]: 'opening the WebSocket',
  [Phase.LOGIN]: 'logging in',
};

const isSendable = (code) => code === 1000 || (code >= 3000 && code <= 4999);

function shorten(reason) {
  let text = reason;
  while (new TextEncoder().encode(text).length > MAX_REASON_BYTES) text = text.slice(0, -1);
  return text;
}

/**
 * The work of one epoch. It tells its `shell` of everything: `dispatch(event)`, `onReady(attempt, ready)`,
 * `onMessage(message)`, `onUndecodable(error)`, `onGone(attempt, error)`, `report(error)`.
 */
export class ConnectionAttempt {
  #options;
  #platform;
  #tokens;
  #shell;
  #phase = Phase.TOKEN;
  #token = null;
  #close = null;
  #failure = null;
  #cancelAbort = null;
  #cancelWake = null;
  #readyAt = null;
  socket = null;
  address = null;

  constructor(epoch, { options, protocol, platform, tokens, shell }) {
    this.epoch = epoch;
    this.protocol = protocol;
    this.#options = options;
    this.#platform = platform;
    this.#tokens = tokens;
    this.#shell = shell;
  }

  /** What the attempt waits for, in words. */
  get phase() {
    return PHASE_WORDS[this.#phase] ?? '';
  }

  /** Seconds since the login was complete; 0: it never was. */
  get upFor() {
    return this.#readyAt === null ? 0 : this.#platform.now() - this.#readyAt;
  }

  /** The offered sub-protocol that the server has chosen; null: none, or the one with the token. */
  get subprotocol() {
    const { subprotocols } = this.#options;
    const chosen = this.socket?.protocol;
    return [...subprotocols, ...this.protocol.subprotocols].includes(chosen) ? chosen : null;
  }

  /** The URL without its secrets. */
  get shownUrl() {
    return this.address === null ? null : redact(this.address);
  }

  /** Begins; never throws. */
  async start() {
    try {
      const url = await this.#findUrl();
      this.#token = this.#phase === Phase.TOKEN ? await this.#tokens.ask() : null;
      if (this.#phase === Phase.TOKEN) this.#open(url);
    } catch (error) {
      if (error instanceof TokenUnchanged) this.#end(error.refusal, { isUnchanged: true });
      else this.#end(error instanceof OnesocketError ? error : this.#protocolError(error));
    }
  }

  async #findUrl() {
    const { url } = this.#options;
    if (typeof url !== 'function') return url;
    let answer;
    try {
      answer = await url();
    } catch (cause) {
      if (cause instanceof OnesocketError) throw cause;
      throw new URLFailed('the function that was given as url failed', { retryable: true, cause });
    }
    return checkUrl(answer);
  }

  #open(url) {
    const { subprotocols, WebSocket } = this.#options;
    const target = this.protocol.prepare({ url, subprotocols }, this.#token);
    this.address = target.url;
    this.#phase = Phase.OPENING;
    const socket = this.#makeSocket(WebSocket, target);
    this.socket = socket;
    socket.binaryType = 'arraybuffer';
    // Looked up in this object at each event: a socket that was given up reaches nothing.
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, reason, wasClean }) => this.#closed(code, reason, wasClean);
    socket.onerror = () => {}; // it says nothing, and `close` follows
  }

  #makeSocket(WebSocket, { url, subprotocols }) {
    try {
      return new WebSocket(url, subprotocols);
    } catch ({ name }) {
      // Its text repeats the sub-protocols or the URL, which may have the token in them.
      const text = `the browser makes no WebSocket of this URL and these sub-protocols (${name})`;
      throw new ConnectFailed(text, { retryable: false });
    }
  }

  #opened() {
    this.#phase = Phase.LOGIN;
    this.#shell.dispatch(events.opened(this.epoch));
    if (this.#close !== null) this.#sendClose();
    else this.#run(() => this.protocol.opened(this.#token, this.#platform.now()));
    this.#token = null;
  }

  #received(data) {
    if (this.#phase !== Phase.LOGIN && this.#phase !== Phase.READY) return;
    this.#shell.onActivity();
    this.#run(() => this.protocol.received(data, this.#platform.now()));
  }

  /** Performs the actions of the protocol, whose code may fail. */
  #run(call) {
    let actions;
    try {
      actions = call();
    } catch (error) {
      if (error instanceof DecodeError) this.#shell.onUndecodable(error);
      else this.#fail({ error: this.#protocolError(error), code: OTHER_CODE, reason: '', dead: false });
      return;
    }
    for (const action of actions) if (this.#phase !== Phase.ENDED) this.#perform(action);
  }

  #protocolError(cause) {
    return cause instanceof OnesocketError ? cause : new OnesocketError('code of the protocol failed', { cause });
  }

  /** Tells the protocol of an end, which its failure can't stop; returns its answer. */
  #tellProtocol(name, ...about) {
    try {
      return this.protocol[name](...about);
    } catch (error) {
      this.#shell.report(error);
      return null;
    }
  }

  #perform(action) {
    switch (action.type) {
      case 'send':
        this.write(action.data);
        break;
      case 'deliver':
        this.#shell.onMessage(action.message);
        break;
      case 'ready':
        this.#phase = Phase.READY;
        this.#readyAt ??= this.#platform.now();
        this.#shell.onReady(this, action);
        break;
      case 'fail':
        this.#fail(action);
        break;
      case 'extend':
        this.#shell.dispatch(events.deadlineExtended(this.epoch, action.seconds));
        break;
      case 'wakeAt':
        this.#wakeAt(action.at);
        break;
      default:
        throw new TypeError(`no action of a protocol: ${action.type}`);
    }
  }

  #wakeAt(at) {
    this.#cancelWake?.();
    this.#cancelWake = null;
    if (at === null) return;
    const wake = () => this.#run(() => this.protocol.wake(this.#platform.now()));
    this.#cancelWake = this.#platform.setTimer(at - this.#platform.now(), wake);
  }

  #fail({ error, code, reason, dead }) {
    if (this.#failure !== null || this.#close !== null) return;
    this.#failure = error;
    const { upFor } = this;
    this.#shell.dispatch(events.connectionFailing(this.epoch, error, { code, reason, dead, upFor }));
  }

  /** Fails the connection for a reason of the client's own, such as silence. */
  fail(error) {
    this.#fail({ error, code: OTHER_CODE, reason: '', dead: true });
  }

  /** Asks the peer whether it is there, which has so many seconds to answer. */
  probe(seconds) {
    if (this.#phase === Phase.READY && this.#close === null) this.#run(() => this.protocol.probe(this.#platform.now(), seconds));
  }

  /** Writes a frame; false: the socket takes none. */
  write(data) {
    if (this.socket?.readyState !== 1) return false;
    this.socket.send(data);
    return true;
  }

  /** Closes in order: what is being opened is waited for. */
  close(code, reason) {
    if (this.#phase === Phase.TOKEN) {
      this.#end(new ConnectAborted('the attempt was given up'));
      return;
    }
    this.#close ??= { code: isSendable(code) ? code : OTHER_CODE, reason: shorten(reason) };
    if (this.#phase !== Phase.OPENING) this.#sendClose();
  }

  /** Ends the socket now, as far as a page can. */
  abort(code) {
    if (this.#phase === Phase.TOKEN) {
      this.#end(new ConnectAborted('the attempt was given up'));
      return;
    }
    this.#close ??= { code: code !== null && isSendable(code) ? code : OTHER_CODE, reason: '' };
    this.#sendClose();
    if (this.#phase === Phase.ENDED || this.#cancelAbort !== null) return;
    const giveUp = () => this.#end(this.#failure ?? connectionReset('it was not closed in time'));
    this.#cancelAbort = this.#platform.setTimer(ABORT_SECONDS, giveUp);
  }

  #sendClose() {
    const { code, reason } = this.#close;
    this.#tellProtocol('closing', code);
    // While the socket is being opened a page may give no code to those WebSocket classes that check it then.
    if (this.socket.readyState < 2) this.socket.close(code, reason);
  }

  #closed(code, reason, wasClean) {
    if (this.#phase === Phase.ENDED) return;
    if (this.#phase === Phase.OPENING) {
      const text = 'the WebSocket could not be opened: a browser does not say whether the server refused, or was not reached';
      this.#end(this.#failure ?? new ConnectFailed(text));
      return;
    }
    const error = this.#failure ?? this.#errorOf(code, reason);
    const isClean = wasClean && this.#close !== null;
    const isOfPeer = this.#failure === null && this.#close === null && code !== ABNORMAL;
    if (isOfPeer) {
      this.#failure = error;
      const { upFor } = this;
      this.#close = { code: 1000, reason: '' };
      this.#shell.dispatch(events.connectionFailing(this.epoch, error, { upFor, byPeer: true }));
    }
    this.#end(error, { isClean });
  }

  #errorOf(code, reason) {
    if (code === ABNORMAL) return connectionReset();
    return this.#tellProtocol('closed', code, reason) ?? closedByPeer(code || NO_CODE, reason);
  }

  #end(error, { isUnchanged = false, isClean = false } = {}) {
    if (this.#phase === Phase.ENDED) return;
    const { upFor } = this;
    this.#phase = Phase.ENDED;
    this.#cancelAbort?.();
    this.#cancelWake?.();
    if (this.socket !== null) this.#forgetSocket();
    this.#tellProtocol('lost', this.#platform.now());
    this.#shell.onGone(this, error, { upFor, isUnchanged, isClean });
  }

  #forgetSocket() {
    const { socket } = this;
    socket.onopen = socket.onmessage = null;
    socket.onerror = socket.onclose = () => {};
  }
}
