// The way to an owner in a shared worker.

/** `onMessage(message)` gets what the owner sends. */
export class WorkerLink {
  #key;
  #makeWorker;
  #onMessage;
  #port = null;
  #controller = new AbortController();

  constructor(key, { makeWorker, onMessage }) {
    this.#key = key;
    this.#makeWorker = makeWorker;
    this.#onMessage = onMessage;
  }

  /** Connects to the worker, which the browser starts unless it is there. */
  start() {
    const { port } = this.#makeWorker(`${this.#key}`);
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data.type === 'owner') this.#watch();
      this.#onMessage(data);
    };
    port.start();
  }

  /** The worker has a lock as long as it lives: when it is free, the worker has ended. */
  #watch() {
    const { signal } = this.#controller;
    const options = { mode: 'shared', signal };
    navigator.locks
      .request(`onesocket owner ${this.#key}`, options, () => {
        this.#onMessage({ type: 'lost' });
        this.#port.close();
      })
      .then(() => this.start())
      .catch(() => {}); // this tab has left
  }

  post(message) {
    this.#port.postMessage(message);
  }

  close() {
    this.#controller.abort();
    // The port is left open: it still has to send that this tab leaves.
  }
}
