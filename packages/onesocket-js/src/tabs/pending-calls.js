// The calls of one tab that its owner has not answered.

import { ClientClosed, DeliveryUnknown, EncodeError, MessageExpired, OutboxFull, OwnerSilent, RequestLost, RequestTimeout } from '../errors.js';
import { OUTBOX_DEFAULTS } from '../lifecycle/table.js';

/** Seconds after which an owner that has not answered anything is asked for a sign of life, and counts as silent. */
const SILENCE_SECONDS = 5;
/** Seconds for an owner to be found: its script, and the module that makes the client, may have to be loaded. */
const START_SECONDS = 30;
/** Calls that are about the connection; the others are about a message. */
const OF_CONNECTION = ['connect', 'connectNowait', 'reconnect', 'rotate', 'probe', 'disconnect'];
const LOST_TEXT = 'the tab that held the connection is gone';
/** Calls that send a message: the first is answered when it is accepted, the second when it is settled. */
const OF_MESSAGE = ['send', 'sendNowait'];
const unknown = (why) => new DeliveryUnknown(`${why}: the message may have been sent`);
/** The answer to a call that may have been carried out, and whose own answer doesn't come. */
const LOST = {
  send: unknown,
  sendNowait: unknown,
  request: (why) => new RequestLost(`${why}: the request may have been carried out`),
};
const SILENT_TEXT =
  'the tab with the shared connection does not answer: it is frozen, far too busy, or has another version of the client';

/**
 * Calls wait for the owner of the connection, each for a limited time. `post(message)` sends to the owner; `onWait()`: calls wait
 * for an owner that has not welcomed this tab.
 */
export class PendingCalls {
  #calls = new Map();
  #numbers = 0;
  #post;
  #onWait;
  #platform;
  #isOpen = false;
  #isAsked = false;
  #cancelLook = null;
  #heardAt = -Infinity;

  constructor({ post, onWait, platform }) {
    this.#post = post;
    this.#onWait = onWait;
    this.#platform = platform;
  }

  /** How many of the calls are messages. */
  get messages() {
    return [...this.#calls.values()].filter(({ name }) => OF_MESSAGE.includes(name)).length;
  }

  /** Makes a call; returns a promise of the answer. Throws `OutboxFull`. */
  add(name, { message = null, options = {}, signal } = {}) {
    signal?.throwIfAborted();
    if (!this.#isOpen && this.#calls.size >= OUTBOX_DEFAULTS.messages) {
      throw new OutboxFull(`${this.#calls.size} calls wait for the tab that holds the connection already`);
    }
    this.#numbers += 1;
    const fate = { isPosted: false, wasPosted: false, isAgain: false, since: this.#platform.now() };
    const call = { id: this.#numbers, name, message, options, ...fate };
    const promise = new Promise((resolve, reject) => Object.assign(call, { resolve, reject }));
    this.#calls.set(call.id, call);
    const onAbort = () => {
      if (call.isPosted) this.#post({ type: 'withdraw', id: call.id });
      this.#settle(call, signal.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    if (this.#isOpen) this.#postCall(call);
    this.#watch();
    return promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** The owner takes calls: it gets all that wait. */
  open() {
    this.#isOpen = true;
    for (const call of [...this.#calls.values()]) this.#postCall(call);
  }

  /** The owner is gone: what it may have carried out is lost, unless it may be done twice; the rest waits. */
  ownerLost() {
    this.#isOpen = this.#isAsked = false;
    for (const call of [...this.#calls.values()]) {
      const lost = call.isPosted && !call.options.resend ? LOST[call.name] : undefined;
      if (call.isPosted && OF_MESSAGE.includes(call.name)) {
        call.isAgain = true; // a durable outbox may have it
        call.since = this.#platform.now(); // and it may have waited there for long
      }
      call.isPosted = false;
      if (lost) this.#settle(call, lost(LOST_TEXT));
    }
  }

  /** The owner has sent something: it is alive. */
  heard() {
    this.#isAsked = false;
    this.#heardAt = this.#platform.now();
  }

  /** Settles a call by the owner's answer. */
  answer(id, error, value) {
    const call = this.#calls.get(id);
    if (call !== undefined) this.#settle(call, error, value);
  }

  /** Rejects all calls. */
  rejectAll(error) {
    for (const call of [...this.#calls.values()]) this.#settle(call, error.copy());
  }

  /** This tab leaves: what was posted may have been carried out, the rest is not. */
  close() {
    for (const call of [...this.#calls.values()]) {
      const lost = call.wasPosted ? LOST[call.name] : undefined;
      this.#settle(call, lost?.('this tab has left before the answer came') ?? new ClientClosed());
    }
  }

  #postCall(call) {
    if (call.isPosted) return;
    const { id, name, message, options, isAgain } = call;
    try {
      this.#post({ type: 'call', id, name, message, options, isAgain });
      call.isPosted = call.wasPosted = true;
    } catch (cause) {
      this.#settle(call, new EncodeError('the message can not be sent to another tab: it is no structured clone', { cause }));
    }
  }

  #settle(call, error, value) {
    if (!this.#calls.delete(call.id)) return;
    if (error === null) call.resolve(value ?? undefined);
    else call.reject(error);
    if (this.#calls.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#isAsked = false;
  }

  // --- the time that a call may take ----------------------------------------------------------------------------------------

  #watch() {
    this.#cancelLook ??= this.#platform.setTimer(SILENCE_SECONDS, () => {
      this.#cancelLook = null;
      this.#look();
      if (this.#calls.size > 0) this.#watch();
    });
  }

  #look() {
    const now = this.#platform.now();
    const isSilent = this.#isOpen && this.#isAsked;
    for (const call of [...this.#calls.values()]) {
      const waited = now - call.since;
      if (waited >= SILENCE_SECONDS && (isSilent || !this.#isOpen)) this.#settleSilent(call, waited);
    }
    this.#isAsked = this.#isOpen && this.#calls.size > 0;
    if (this.#isAsked) this.#post({ type: 'alive' });
    else if (!this.#isOpen && this.#calls.size > 0) this.#onWait();
  }

  #settleSilent(call, waited) {
    const { name, options, wasPosted } = call;
    // An owner that lives may have a message for long.
    const silent = wasPosted ? Math.min(waited, this.#platform.now() - this.#heardAt) : waited;
    if (OF_CONNECTION.includes(name)) {
      const limit = this.#isOpen ? 2 * SILENCE_SECONDS : START_SECONDS;
      if (waited >= limit) this.#settle(call, new OwnerSilent(SILENT_TEXT, { retryable: true }));
    } else if (name === 'request' && options.timeout !== null && waited >= options.timeout) {
      const text = `no answer to the request within ${options.timeout} s: ${SILENT_TEXT}`;
      this.#settle(call, new RequestTimeout(text, { wasSent: wasPosted }));
    } else if (silent >= OUTBOX_DEFAULTS.age) {
      if (wasPosted) this.#settle(call, OF_MESSAGE.includes(name) ? new DeliveryUnknown(SILENT_TEXT) : new RequestLost(SILENT_TEXT));
      else if (options.timeout !== null) this.#settle(call, new MessageExpired(SILENT_TEXT));
    }
  }
}
