// The fate of one message in a `DurableOutbox`, and its frame while that is being written.

import { Delivery } from './delivery.js';

/** Fate of a message in a `DurableOutbox`: done when it is settled. */
export class StoredDelivery extends Delivery {
  /** True once it is in the store. */
  isStored = false;
  #accepting = [];

  constructor({ resend }) {
    super(null, { resend });
  }

  get isAwaited() {
    return this.#accepting.length > 0 || super.isAwaited;
  }

  /** Resolves when the message is on disk; rejects with `MessageNotStored`, or `DeliveryUnknown` of too slow a disk. */
  accepted() {
    if (this.isStored) return Promise.resolve();
    if (this.done) return this.then();
    return new Promise((resolve, reject) => this.#accepting.push({ resolve, reject }));
  }

  /** Notes that the message is on disk. */
  stored() {
    this.isStored = true;
    for (const { resolve } of this.#accepting.splice(0)) resolve();
  }

  /** Takes the fate of another delivery, of the same message. */
  follow(other) {
    other.accepted().then(() => this.stored(), () => {});
    other.then(() => this.settle(), (error) => this.settle(error));
  }

  settle(error = null) {
    super.settle(error);
    for (const { resolve, reject } of this.#accepting.splice(0)) {
      if (this.error === null) resolve();
      else reject(this.error.copy());
    }
  }
}

/** A message in the hands of a `SocketWriter`, which settles it when the browser has written it. */
export class StoredFrame {
  #onWritten;

  constructor(onWritten) {
    this.#onWritten = onWritten;
  }

  settle() {
    this.#onWritten();
  }
}
