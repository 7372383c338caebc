// A stream of answers to one request.

import { OnesocketError, RequestLost } from '../errors.js';
import { GapReason } from '../lifecycle/table.js';
import { Delivery } from './delivery.js';
import { Gap } from './gap.js';

/** Puts the answers to one request into a reader's queue: with the caller's own id, until the last one, or an error. */
export class AnswerStream {
  #tracker;
  #sender;
  #message;
  #asked;
  #queue;
  #resend;
  #epoch;
  #id = null;
  #delivery = null;
  #isOver = false;
  /** The loss after which the request is sent again. */
  #loss = null;

  /** `epoch()`: that of the connection on which the stream goes on. Throws as `Sender.accept`. */
  constructor({ tracker, sender, message, asked, queue, resend, epoch }) {
    this.#tracker = tracker;
    this.#sender = sender;
    this.#message = message;
    this.#asked = asked;
    this.#queue = queue;
    this.#resend = resend;
    this.#epoch = epoch;
    this.#send();
  }

  #send() {
    const onDone = ({ error }) => {
      if (error !== null) this.#end(this.#id === null ? error : lost(error));
    };
    this.#delivery = new Delivery(() => this.#makeFrame(), { resend: this.#resend, isLasting: this.#resend, onDone });
    this.#sender.accept(this.#delivery);
  }

  #makeFrame() {
    const { id, data } = this.#tracker.numbered(this.#message, this);
    this.#id = id;
    if (this.#loss !== null) this.#queue.put(new Gap(GapReason.RECONNECTED, { epoch: this.#epoch(), error: this.#loss }));
    this.#loss = null;
    return data;
  }

  /** The id under which it was sent last; null: it was not sent. */
  get id() {
    return this.#id;
  }

  /** Takes an answer. */
  take(message) {
    try {
      const { answer, refusal, isLast } = this.#tracker.read(message, this.#asked);
      if (refusal !== null || isLast) {
        this.#tracker.forget(this.#id);
        this.#end(refusal);
      } else {
        this.#queue.put(answer);
        if (this.#queue.isEnded) this.close(); // its reader has fallen behind
      }
    } catch (error) {
      this.#queue.fail(error); // of a function of the program: it is the reader's
      this.close();
    }
  }

  /** The connection is gone on which the request was sent. */
  lost(error) {
    if (this.#isOver) return;
    if (!this.#resend) {
      this.#end(lost(error));
      return;
    }
    this.#loss = error;
    if (!this.#delivery.done) return; // it is in the outbox again
    try {
      this.#send();
    } catch (failure) {
      this.#end(lost(failure));
    }
  }

  /** The reader is gone: the request isn't sent, or its answers are stopped. */
  close() {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sender.discard(this.#delivery);
    if (this.#id !== null) this.#tracker.stop(this.#message, this.#id);
  }

  #end(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    if (error === null) this.#queue.end();
    else this.#queue.fail(error);
  }
}

const lost = (cause) =>
  new RequestLost('the connection was lost before the last answer came: the request may have been carried out', {
    cause: cause instanceof OnesocketError ? cause : undefined,
  });
