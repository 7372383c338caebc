// One client for the user who is signed in: built lazily, shared by all callers, held closed after a logout.

import { Client } from '../client/client.js';
import { checkSeconds } from '../client/options.js';
import {
  AuthTimeout,
  ClientClosed,
  ConnectAborted,
  InvalidOption,
  ManuallyDisconnected,
  OnesocketError,
  SessionExpired,
  TokenFailed,
} from '../errors.js';
import { Outcome, State } from '../lifecycle/table.js';
import { ConnectionNotices, ConsoleSink, Notices } from '../notices.js';
import { platform as defaultPlatform, reportToConsole } from '../platform.js';
import { Raw } from '../protocols/codec.js';
import { TokenQuery } from '../token-places.js';
import { Flight, Superseded } from './flight.js';
import { Identity } from './identity.js';

const Access = Object.freeze({ OPEN: 'open', HELD: 'held', CLOSED: 'closed' });
const RESTING = [State.DISCONNECTED, State.FAILED, State.STOPPED, State.CLOSED];
const LOGGED_OUT = 'logout() was called while this call was waiting';

/** The client of one identity. */
class IdentityConnection {
  /** The token that a run has brought, for the attempt that it begins. */
  nextToken = null;
  /** True if the provider itself has disconnected the client, so that the next run may reconnect it. */
  isStopped = false;
  client = null;

  constructor(identity) {
    this.identity = identity;
  }
}

/**
 * Provides all components of a page with the one client of the signed-in identity.
 *
 * `makeClient(token)` builds a client, with the function that gives the tokens: `(token) => new Client(url, {token, …})`,
 * or a URL. `auth(previous, error)` returns the signed-in `Identity`, or a token, or null if no user is signed in.
 */
export class Provider {
  #makeClient;
  #auth;
  #authTimeout;
  #platform;
  #notices;
  #access = Access.OPEN;
  #flight = null;
  #connection = null;
  #retired = Promise.resolve();
  #question = null;
  #secrets = [];
  #watchers = new Set();

  constructor(makeClient, { auth, notices = null, authTimeout = 10, service = 'the server', platform = defaultPlatform } = {}) {
    if (typeof auth !== 'function') throw new InvalidOption('auth must be a function');
    if (typeof makeClient === 'string' || makeClient instanceof URL) {
      const url = String(makeClient);
      this.#makeClient = (token) => new Client(url, { token, protocol: new Raw({ tokenPlace: new TokenQuery() }) });
    } else if (typeof makeClient === 'function') {
      this.#makeClient = makeClient;
    } else {
      throw new InvalidOption('makeClient must be a URL, or a function that builds a client');
    }
    this.#auth = auth;
    this.#authTimeout = checkSeconds('authTimeout', authTimeout);
    this.#platform = { ...defaultPlatform, ...platform };
    this.service = service;
    this.notices = notices instanceof Notices ? notices : new Notices([notices ?? new ConsoleSink()]);
    this.#notices = new ConnectionNotices(this.notices, service, () => this.#secrets);
  }

  /** The one client; null before it is built. Another one after a change of identity. */
  get client() {
    return this.#connection?.client ?? null;
  }

  /** A frozen snapshot of this moment. */
  get status() {
    return Object.freeze({
      service: this.service,
      isHeld: this.#access === Access.HELD,
      isClosed: this.#access === Access.CLOSED,
      isConnecting: this.#inFlight() !== null,
      callers: this.#inFlight()?.callers ?? 0,
      client: this.client?.status ?? null,
      notices: this.notices.active,
    });
  }

  /** Calls `watcher` after each change: of the client, its state, or the access; returns the function that ends that. */
  onChange(watcher) {
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
    };
  }

  #changed() {
    for (const watcher of [...this.#watchers]) {
      try {
        watcher();
      } catch (error) {
        reportToConsole(error);
      }
    }
  }

  // --- calls --------------------------------------------------------------------------------------------------------------

  /**
   * Connects if a user is signed in: starts an attempt, joins one, or finds the connection up. Resolves with an
   * `Outcome`; NOT_AUTHENTICATED: `auth` returned null, and nothing was attempted.
   */
  async connectIfAuthenticated({ signal } = {}) {
    for (;;) {
      this.#checkUsable();
      signal?.throwIfAborted();
      if (this.#access === Access.HELD) {
        throw new ManuallyDisconnected('logout() was called on this provider; call login() to lift it');
      }
      let flight = this.#inFlight();
      const starts = flight === null;
      if (starts) {
        if (this.client?.state === State.CONNECTED) return Outcome.ALREADY_CONNECTED;
        flight = this.#startFlight();
      }
      try {
        return outcomeOf(await flight.join(signal), starts);
      } catch (error) {
        if (!(error instanceof Superseded)) throw error;
        if (this.#access === Access.HELD) throw new ConnectAborted(LOGGED_OUT); // a login() took its place, and ended
      }
    }
  }

  /** Lifts a `logout()` and connects for `identity`, or for the one that `auth` returns. The newest login wins. */
  async login(identity = null, { signal } = {}) {
    this.#checkUsable();
    const wanted = Identity.of(identity);
    this.#access = Access.OPEN;
    let flight = this.#inFlight();
    const isServed = flight !== null && (wanted === null || flight.identity?.isSame(wanted));
    const starts = !isServed || !flight.byLogin;
    if (starts) {
      this.#question = null; // it may have been answered for the user who has left
      flight = this.#startFlight({ identity: wanted, byLogin: true });
    }
    try {
      return outcomeOf(await flight.join(signal), starts);
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
      this.#checkUsable();
      throw new ConnectAborted('a later login() took the place of this one');
    }
  }

  /** Closes the connection and holds it closed: only `login()` lifts that. Waiting calls get `ConnectAborted`. */
  async logout() {
    if (this.#access !== Access.CLOSED) {
      this.#access = Access.HELD;
      this.#abandon(new ConnectAborted(LOGGED_OUT));
    }
    if (this.#connection !== null) await this.#disconnect(this.#connection);
    await this.#retired;
  }

  /** Closes the connection for good. */
  async close() {
    this.#access = Access.CLOSED;
    this.#abandon(new ClientClosed('close() was called while this call was waiting'));
    await this.client?.close();
    await this.#retired;
  }

  [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() {
    return this.close();
  }

  // --- runs: from auth to the open connection -------------------------------------------------------------------------------

  #checkUsable() {
    if (this.#access === Access.CLOSED) {
      throw new ClientClosed('close() was called on this provider, which is final; make a new one');
    }
  }

  #inFlight() {
    return this.#flight !== null && !this.#flight.isOver ? this.#flight : null;
  }

  #startFlight(options) {
    const old = this.#inFlight();
    if (old !== null) {
      old.isSuperseded = true;
      // If it dials for the same identity, the new run joins its attempt; else it closes it.
      if (!old.isDialling) old.abort(new Superseded('a login took the place of this run'));
    }
    const flight = new Flight((self) => this.#run(self), options);
    this.#flight = flight;
    this.#changed();
    return flight;
  }

  async #run(flight) {
    await null; // the run is known to the provider before it does anything
    const identity = flight.identity ?? (await this.#ask(...this.#refused()));
    if (flight.isOver) throw new Superseded('this run was given up');
    if (identity === null) {
      await this.#closeSignedOut();
      return Outcome.NOT_AUTHENTICATED;
    }
    this.#notices.authAnswered({ signedIn: true });
    this.#secrets = [identity.token];
    const current = this.#connection;
    if (current !== null && (!current.identity.isSame(identity) || current.client.state === State.CLOSED)) {
      this.#retire(current);
    }
    await this.#retired;
    if (flight.isOver) throw new Superseded('this run was given up');
    this.#connection ??= this.#build(identity);
    return this.#dial(flight, this.#connection, identity.token);
  }

  /** The token whose refusal has ended the connection, and the refusal; null each if none has. */
  #refused() {
    const error = this.client?.state === State.FAILED ? this.client.status.lastError : null;
    return error?.refusesToken ? [this.#secrets.at(-1), error] : [null, null];
  }

  async #dial(flight, connection, token) {
    flight.isDialling = true;
    connection.nextToken = token;
    const { signal } = flight;
    try {
      try {
        return await connection.client.connect({ signal });
      } catch (error) {
        // A disconnect() that a component called on the client itself is lifted only by a login().
        if (!(error instanceof ManuallyDisconnected) || !(connection.isStopped || flight.byLogin)) throw error;
        return await connection.client.reconnect({ signal });
      }
    } catch (error) {
      if (error instanceof SessionExpired) return Outcome.NOT_AUTHENTICATED;
      const isEnded = error instanceof ClientClosed || error instanceof ConnectAborted;
      if (isEnded && flight.isSuperseded) throw new Superseded('a login took the place of this run');
      throw error;
    } finally {
      connection.nextToken = null;
      connection.isStopped = false;
    }
  }

  /** Asks `auth`; calls at the same time share the answer. */
  #ask(previous, error) {
    this.#question ??= this.#answer(previous, error).finally(() => {
      this.#question = null;
    });
    return this.#question;
  }

  async #answer(previous, refusal) {
    let cancel;
    const late = new Promise((_, reject) => {
      const text = `auth gave no answer within ${this.#authTimeout} s`;
      cancel = this.#platform.setTimer(this.#authTimeout, () => reject(new AuthTimeout(text)));
    });
    try {
      const identity = Identity.of(await Promise.race([this.#callAuth(previous, refusal), late]));
      this.#notices.authAnswered({ signedIn: identity !== null });
      return identity;
    } catch (cause) {
      const error =
        cause instanceof OnesocketError ? cause : new TokenFailed('auth failed', { retryable: true, cause });
      this.#notices.signInFailed(error);
      throw error;
    } finally {
      cancel();
    }
  }

  async #callAuth(previous, refusal) {
    return this.#auth(previous, refusal);
  }

  async #closeSignedOut() {
    const connection = this.#connection;
    if (connection === null || RESTING.includes(connection.client.state)) return;
    this.#notices.sessionExpired();
    await this.#disconnect(connection);
  }

  /** Disconnects so that a login can reconnect; leaves a shared connection to the others. */
  async #disconnect(connection) {
    if (connection.client.isShared) {
      this.#retire(connection);
      await this.#retired;
    } else {
      connection.isStopped = true;
      await connection.client.disconnect();
    }
  }

  #abandon(error) {
    const flight = this.#inFlight();
    if (flight !== null) {
      flight.isSuperseded = false;
      flight.abort(error);
    }
    this.#question = null;
    this.#notices.clear();
    this.#changed();
  }

  // --- the one client ---------------------------------------------------------------------------------------------------

  #build(identity) {
    const connection = new IdentityConnection(identity);
    try {
      connection.client = this.#makeClient((previous, error) => this.#tokenOf(connection, previous, error));
    } catch (error) {
      if (error instanceof OnesocketError) this.#notices.failed(error);
      throw error;
    }
    connection.client.onChange((change) => {
      if (connection === this.#connection && this.#access === Access.OPEN) {
        this.#notices.changed(change, connection.client.status.retryIn);
      }
      this.#changed();
    });
    return connection;
  }

  #retire(connection) {
    this.#connection = null;
    this.#notices.clear();
    this.#retired = Promise.allSettled([this.#retired, connection.client.close()]);
  }

  /** Returns the token of an attempt that the client makes; `previous` was refused with `refusal`. */
  async #tokenOf(connection, previous, refusal) {
    if (connection.nextToken !== null) {
      const token = connection.nextToken;
      connection.nextToken = null;
      return token;
    }
    const identity = await this.#ask(previous, refusal);
    if (connection !== this.#connection) throw new ConnectAborted('another identity signed in');
    if (this.#access !== Access.OPEN) throw new ManuallyDisconnected('logout() was called on the provider');
    if (identity === null) {
      this.#notices.sessionExpired();
      throw new SessionExpired('no user is signed in any more: auth returned null');
    }
    this.#secrets = [identity.token];
    if (identity.isSame(connection.identity)) return identity.token;
    if (this.#inFlight() === null) this.#startFlight({ identity, isDetached: true });
    throw new ConnectAborted('another identity signed in');
  }
}

function outcomeOf(outcome, starts) {
  return outcome === Outcome.OPENED && !starts ? Outcome.JOINED : outcome;
}
