// The streams of answers of one tab: the owner sends the requests, and what comes to them.

import { Gap } from '../client/gap.js';
import { Subscription } from '../client/subscription.js';
import { ClientClosed, EncodeError, RequestLost } from '../errors.js';
import { GapReason } from '../lifecycle/table.js';
import { unpackError, unpackGap } from './serialization.js';

/** `post(message)` sends to the owner. */
export class AnswerStreams {
  #streams = new Map();
  #numbers = 0;
  #post;
  #isOpen = false;

  constructor(post) {
    this.#post = post;
  }

  /** Sends a request; returns the stream of the answers to it. */
  open(message, { limit, overflow, resend }) {
    this.#numbers += 1;
    const id = this.#numbers;
    const subscription = new Subscription({ limit, overflow }, () => this.#close(id));
    const stream = { id, message, resend, queue: subscription.queue, isPosted: false, loss: null };
    this.#streams.set(id, stream);
    if (this.#isOpen) this.#tell(stream);
    return subscription;
  }

  #close(id) {
    const stream = this.#streams.get(id);
    if (this.#streams.delete(id) && stream.isPosted && this.#isOpen) this.#post({ type: 'stream close', id });
  }

  /** The owner takes requests. */
  ownerFound(epoch) {
    this.#isOpen = true;
    for (const stream of [...this.#streams.values()]) {
      if (stream.loss !== null) stream.queue.put(new Gap(GapReason.RECONNECTED, { epoch, error: stream.loss }));
      stream.loss = null;
      this.#tell(stream);
    }
  }

  /** The owner is gone: requests that it may have sent are lost, unless they may be sent twice. */
  ownerLost(error) {
    this.#isOpen = false;
    for (const stream of [...this.#streams.values()].filter(({ isPosted }) => isPosted)) {
      if (stream.resend) [stream.isPosted, stream.loss] = [false, error];
      else this.#end(stream, new RequestLost('the tab that held the connection is gone before the last answer came'));
    }
  }

  /** Takes what the owner sends about a stream. */
  received({ id, item, gap, isOver, error }) {
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    if (isOver) {
      this.#end(stream, unpackError(error));
      return;
    }
    stream.queue.put(gap ? unpackGap(gap) : item);
    if (stream.queue.isEnded) this.#close(id); // its reader has fallen behind
  }

  /** This tab leaves, or is refused. */
  endAll(error = new ClientClosed()) {
    for (const stream of [...this.#streams.values()]) this.#end(stream, error);
  }

  #end(stream, error) {
    this.#streams.delete(stream.id);
    if (error === null) stream.queue.end();
    else stream.queue.fail(error);
  }

  #tell(stream) {
    const { id, message, resend } = stream;
    try {
      this.#post({ type: 'stream', id, message, options: { resend } });
      stream.isPosted = true;
    } catch (cause) {
      this.#end(stream, new EncodeError('the request can not be sent to another tab: it is no structured clone', { cause }));
    }
  }
}
