// The way to an owner in one of the tabs: the leading tab, which has the lock.

import { UsageError } from '../errors.js';
import { Owner, ownerLock, TAKE_OVER_SECONDS, VERSION } from './owner.js';

const ALL = '*';
const OWNER = 'owner';

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** `onMessage(message)` gets what the owner sends to this member; `onFailure(error)`: this page may have no lock. */
export class ChannelLink {
  #key;
  #member;
  #load;
  #onMessage;
  #onFailure;
  #channel = null;
  #controller = new AbortController();
  #owner = null;
  #stopServing = null;
  #release = null;
  #isClosed = false;

  constructor(key, { member, load, onMessage, onFailure }) {
    this.#key = key;
    this.#member = member;
    this.#load = load;
    this.#onMessage = onMessage;
    this.#onFailure = onFailure;
  }

  /**
   * Leads if no tab does; else asks who leads, and waits for the lock. This tab has its own lock by now: an owner that it
   * joined before that would find that lock free, and take the tab for gone.
   */
  async start() {
    try {
      this.#channel = new BroadcastChannel(`onesocket ${this.#key}`);
    } catch (cause) {
      this.#onFailure(new UsageError('this page may not use a BroadcastChannel, by which tabs share', { cause }));
      return;
    }
    this.#channel.onmessage = ({ data }) => {
      const { to, ...message } = data ?? {}; // other scripts of the origin may send anything
      if (to === this.#member || to === ALL) this.#onMessage(message);
    };
    const name = ownerLock(this.#key);
    const { signal } = this.#controller;
    const isFirst = await new Promise((resolve, reject) => {
      navigator.locks
        .request(name, { ifAvailable: true }, (lock) => {
          resolve(lock !== null);
          return lock === null || signal.aborted ? undefined : this.#lead();
        })
        .catch(reject);
    }).catch((cause) => this.#onFailure(new UsageError('this page may not use Web Locks, by which tabs share', { cause })));
    if (isFirst !== false || signal.aborted) return;
    this.ask();
    const lead = async () => {
      this.#onMessage({ type: 'lost' });
      await sleep(TAKE_OVER_SECONDS);
      if (!signal.aborted) await this.#lead();
    };
    navigator.locks.request(name, { signal }, lead).catch(() => {}); // this tab has left
  }

  /** Asks who leads. */
  ask() {
    if (!this.#isClosed) this.#channel?.postMessage({ to: OWNER, type: 'who' });
  }

  /** Leads until the connection is closed. */
  #lead() {
    // A channel of its own: one doesn't get what it has sent itself.
    const channel = new BroadcastChannel(`onesocket ${this.#key}`);
    const id = crypto.randomUUID();
    let isOver = false;
    const post = (to, message) => {
      if (!isOver) channel.postMessage({ ...message, to }); // calls of members may end later
    };
    const owner = new Owner({
      id,
      post,
      broadcast: (message) => post(ALL, message),
      locks: navigator.locks,
      load: this.#load,
      takeOverSeconds: 0, // that time has passed
    });
    this.#owner = owner;
    const announce = () => post(ALL, { type: OWNER, owner: id, version: VERSION });
    channel.onmessage = ({ data }) => {
      const { to, owner: addressed, ...message } = data ?? {};
      if (to !== OWNER) return;
      if (message.type === 'who') announce();
      else if (addressed === id) owner.handle(message);
    };
    announce();
    return new Promise((resolve) => {
      this.#stopServing = () => {
        channel.onmessage = null;
      };
      this.#release = () => {
        isOver = true;
        channel.close();
        resolve();
      };
    });
  }

  post(message) {
    if (!this.#isClosed) this.#channel?.postMessage({ ...message, to: OWNER }); // a token may come later
  }

  /** Leaves; the leading tab closes the connection first, and then another one leads. */
  async close() {
    this.#controller.abort();
    if (this.#owner !== null) {
      this.#stopServing(); // who asks from now on joins the next leader
      await this.#owner.close();
      this.#release();
    }
    this.#isClosed = true;
    this.#channel?.close();
  }
}
