// Requests and their answers: each request gets an id of its own where the connection is.

import { OnesocketError, RequestLost, RequestTimeout } from '../errors.js';
import { AnswerStream } from './answer-stream.js';

/** Ids of ended requests that are kept, to know their answers. */
const MAX_ENDED = 1024;

/** A request that waits for its answer. */
class PendingRequest {
  /** The id under which it was sent last; null: it was not sent. */
  id = null;
  /** True if a copy of it was sent, on this connection or an earlier one. */
  wasSent = false;
  cancelTimer = null;
  forgetSignal = null;
  delivery = null;

  constructor(tracker, about) {
    this.tracker = tracker;
    Object.assign(this, about);
  }

  take(message) {
    this.tracker.answered(this, message);
  }

  lost() {
    this.tracker.lostConnection(this);
  }
}

/** A message about keys that is a request. Its first answer is passed on; an answer to one that ends something is dropped. */
class KeyFrame {
  id = null;
  onAnswer = null;
  #tracker;
  #message;
  #isAnswered;

  /** `connection`: the `KeyConnection` whose frame it is. */
  constructor(tracker, message, { isAnswered, connection }) {
    this.connection = connection;
    this.#tracker = tracker;
    this.#message = message;
    this.#isAnswered = isAnswered;
  }

  makeFrame() {
    if (this.id !== null) this.#tracker.forget(this.id); // the socket did not take it
    const { id, data } = this.#tracker.numbered(this.#message, this.#isAnswered ? this : null);
    this.id = id;
    return data;
  }

  /** Returns the message that ends what this one has begun; null: there is none. */
  stopMessage() {
    return this.#tracker.stopMessage(this.#message, this.id);
  }

  take(message) {
    this.#tracker.forget(this.id);
    this.onAnswer?.(message);
  }

  lost() {} // the next connection gets all keys anew
}

/** The requests of one client. */
export class RequestTracker {
  #requests;
  #encode;
  #sender;
  #platform;
  #report;
  /** All requests that wait, and by their ids those that were sent on the present connection. */
  #all = new Set();
  #pending = new Map();
  /** Ids of requests that ended without an answer, or before the last one; and whether more of them may come. */
  #ended = new Map();
  #numbers = 0;
  /** Answers to requests that had ended, which were dropped. */
  lateAnswers = 0;

  constructor({ requests, encode, sender, platform, report }) {
    this.#report = report;
    this.#requests = requests;
    this.#encode = encode;
    this.#sender = sender;
    this.#platform = platform;
  }

  /** Sends a request; returns a promise of its answer. */
  request(message, { timeout, resend, signal, makeDelivery }) {
    return new Promise((resolve, reject) => {
      const asked = this.#requests.find(message);
      const pending = new PendingRequest(this, { message, asked, resend, resolve, reject });
      const onSettled = ({ error }) => {
        if (error !== null && !this.#isOver(pending)) this.#finish(pending, this.#asLost(pending, error));
      };
      pending.delivery = makeDelivery(() => this.#makeFrame(pending), onSettled);
      this.#all.add(pending);
      if (timeout !== null) pending.cancelTimer = this.#platform.setTimer(timeout, () => this.#timeOut(pending, timeout));
      const onAbort = () => this.#withdraw(pending, signal.reason);
      signal?.addEventListener('abort', onAbort, { once: true });
      pending.forgetSignal = () => signal?.removeEventListener('abort', onAbort); // a long-lived one would keep them all
      try {
        this.#sender.accept(pending.delivery);
      } catch (error) {
        this.#finish(pending, error);
      }
    });
  }

  #isOver(pending) {
    return !this.#all.has(pending);
  }

  #makeFrame(pending) {
    const { id, data } = this.numbered(pending.message, pending);
    pending.id = id;
    pending.wasSent = true;
    return data;
  }

  /** Returns a new id and the frame of a message with it; `taker` gets the answer, null: it is dropped. */
  numbered(message, taker) {
    this.#numbers += 1;
    const id = this.#requests.makeId(this.#numbers);
    const data = this.#encode(this.#requests.put(message, id));
    if (taker === null) this.#keepEnded(id);
    else this.#pending.set(id, taker);
    return { id, data };
  }

  /** Returns a message about keys that gets an id when it is sent. */
  number(message, options) {
    return new KeyFrame(this, message, options);
  }

  forget(id) {
    this.#pending.delete(id);
  }

  stopMessage(message, id) {
    return this.#requests.stop?.(this.#requests.put(message, id)) ?? null;
  }

  /** Sends a request; its answers go into a reader's queue. Returns the function that ends that. Throws as `Sender.accept`. */
  openStream(message, options) {
    const asked = this.#requests.find(message);
    const stream = new AnswerStream({ tracker: this, sender: this.#sender, message, asked, ...options });
    return () => stream.close();
  }

  /** Returns `{answer, refusal, isLast}` of a message of a stream. */
  read(message, asked) {
    const answer = this.#requests.restore(message, asked);
    return { answer, refusal: this.#requests.refusal(answer), isLast: this.#requests.last?.(answer) ?? false };
  }

  /** Stops the answers to a request that was sent with this id: those that still come are dropped. */
  stop(message, id) {
    if (!this.#pending.delete(id)) return;
    this.#keepEnded(id, { isStream: true });
    const stop = this.stopMessage(message, id);
    if (stop === null) return;
    const make = () => {
      if (!this.#ended.has(id)) throw new RequestLost('the connection is gone, and with it what was to be stopped');
      return this.#encode(stop);
    };
    try {
      this.#sender.send(make, { onDone: () => {} });
    } catch {
      // the client is being closed
    }
  }

  /** Returns the reason of an answer that refuses, else null. */
  reasonOf(answer) {
    return this.#requests.reason(answer);
  }

  /** Takes a message that answers a request; false: it is an ordinary message. */
  received(message) {
    const id = this.#idOf(message);
    if (id === null) return false;
    const pending = this.#pending.get(id);
    if (pending === undefined) {
      if (!this.#ended.has(id)) return false;
      if (!this.#ended.get(id)) this.#ended.delete(id); // a stream may have more of them
      this.lateAnswers += 1;
      return true;
    }
    pending.take(message);
    return true;
  }

  /** Settles a request by the message that answers it. */
  answered(pending, message) {
    try {
      const answer = this.#requests.restore(message, pending.asked);
      this.#finish(pending, this.#requests.refusal(answer), answer);
    } catch (error) {
      this.#finish(pending, error, message); // of a function of the program: it is the caller's
    }
  }

  #idOf(message) {
    try {
      return this.#requests.find(message);
    } catch (error) {
      this.#report(error);
      return null;
    }
  }

  /** The connection has ended: what was sent on it is lost, or sent again with `resend`; that of a `successor` stays. */
  connectionEnded(error, successor) {
    this.#ended.clear();
    this.lose(this.sentBefore(successor), error);
  }

  /** Returns what was sent on the present connection, and not by the `KeyConnection` of a successor, for `lose()`. */
  sentBefore(successor) {
    return [...this.#pending].filter(([, { connection }]) => connection === undefined || connection !== successor);
  }

  /** Nothing is left of the connection on which these were sent. */
  lose(sent, error) {
    for (const [id, taker] of sent) if (this.#pending.delete(id) && taker.id === id) taker.lost(error);
  }

  /** The connection is gone on which a request was sent. */
  lostConnection(pending) {
    if (pending.resend && pending.delivery.done) this.#sendAgain(pending);
    else if (!pending.resend) this.#finish(pending, this.#lost());
  }

  #sendAgain(pending) {
    pending.delivery = pending.delivery.again();
    try {
      this.#sender.accept(pending.delivery);
    } catch (error) {
      this.#finish(pending, this.#asLost(pending, error));
    }
  }

  #lost(cause) {
    return new RequestLost('the connection was lost before the answer came: the request may have been carried out', {
      cause,
    });
  }

  #asLost(pending, error) {
    return pending.wasSent && error instanceof OnesocketError ? this.#lost(error) : error;
  }

  #timeOut(pending, timeout) {
    const isWaiting = this.#sender.discard(pending.delivery);
    const wasSent = pending.wasSent || !isWaiting;
    this.#finish(pending, new RequestTimeout(`no answer to the request within ${timeout} s`, { wasSent }));
  }

  #withdraw(pending, reason) {
    if (this.#isOver(pending)) return;
    this.#sender.discard(pending.delivery);
    this.#finish(pending, reason);
  }

  #keepEnded(id, { isStream = false } = {}) {
    this.#ended.set(id, isStream);
    if (this.#ended.size > MAX_ENDED) this.#ended.delete(this.#ended.keys().next().value);
  }

  #finish(pending, error, answer) {
    if (!this.#all.delete(pending)) return;
    pending.cancelTimer?.();
    pending.forgetSignal();
    if (pending.id !== null && this.#pending.delete(pending.id) && answer === undefined) {
      this.#keepEnded(pending.id);
    }
    if (error !== null) pending.reject(error);
    else pending.resolve(answer);
  }
}
