// The way to an owner in a shared worker.

import { ConnectFailed, InvalidOption } from '../errors.js';
import { ownerLock } from './owner.js';

/** `onMessage(message)` gets what the owner sends; `onFailure(error)`: the browser starts no worker. */
export class WorkerLink {
  #key;
  #makeWorker;
  #onMessage;
  #onFailure;
  #port = null;
  #controller = new AbortController();

  constructor(key, { makeWorker, onMessage, onFailure }) {
    this.#key = key;
    this.#makeWorker = makeWorker;
    this.#onMessage = onMessage;
    this.#onFailure = onFailure;
  }

  /** Connects to the worker, which the browser starts unless it is there. */
  start() {
    let worker;
    try {
      worker = this.#makeWorker(`${this.#key}`);
    } catch (cause) {
      this.#failed(cause);
      return;
    }
    const { port } = worker;
    this.#port = port;
    worker.onerror = () => {
      if (this.#port === port) this.#failed();
    };
    port.onmessage = ({ data }) => {
      worker.onerror = null; // it runs: errors of its own are no failure to start
      if (data.type === 'owner' && data.name !== undefined && data.name !== this.#key) {
        this.#misnamed(port, data.name);
        return;
      }
      if (data.type === 'owner') this.#watch();
      this.#onMessage(data);
    };
    port.start();
  }

  /** The worker has another lock than the one that is watched: it would be taken for gone again and again. */
  #misnamed(port, name) {
    this.#port = null;
    port.close();
    const text = `worker(name) started a shared worker with the name '${name}', and not '${this.#key}': give it { name }`;
    this.#onFailure(new InvalidOption(text));
  }

  #failed(cause) {
    this.#port = null;
    this.#onFailure(new ConnectFailed('the shared worker could not be started', { cause, retryable: false }));
  }

  /** The worker has a lock as long as it lives: when it is free, the worker has ended. */
  #watch() {
    const { signal } = this.#controller;
    const options = { mode: 'shared', signal };
    navigator.locks
      .request(ownerLock(this.#key), options, () => {
        this.#onMessage({ type: 'lost' });
        this.#port.close();
      })
      .then(() => this.start())
      .catch(() => {}); // this tab has left
  }

  /** The worker says by itself that it is there: a port loses nothing. */
  ask() {}

  post(message) {
    this.#port?.postMessage(message);
  }

  close() {
    this.#controller.abort();
    // The port is left open: it still has to send that this tab leaves.
  }
}
