// The owner of a connection that tabs share: it has the client, and serves the members, each of which is one tab.

import { ClientClosed, EncodeError, OptionConflict, TokenFailed, UsageError, VersionMismatch } from '../errors.js';
import { ADOPT, AGAIN, DESCRIBE, KEYS, SNAPSHOT } from '../client/client.js';
import { packError, packItem, packState, unpackError } from './serialization.js';

/** Seconds that the server gets to notice the end of the last owner's socket, before the next one dials. */
export const TAKE_OVER_SECONDS = 0.25;
/**
 * Of what tabs and the owner send each other; those of another version don't share. It is still the first one, although messages
 * have changed: no release has any other. From the first release on, each change of a message counts it up.
 */
export const VERSION = 1;
/** The calls of members that have a message. */
const TAKE_MESSAGES = ['send', 'sendNowait', 'request'];
/** Seconds after which another tab is asked for a token, too, as the first one may be frozen. */
const TOKEN_SECONDS = 2;
const NO_CLIENT =
  'the module of join() made no Client of the copy of this package that serves the tabs; a bundler makes two copies unless join() is given a function ' +
  'that imports the module, and a worker that calls serve()';
/** The calls of members that are made at the client as they are. */
const CALLS = ['connect', 'connectNowait', 'reconnect', 'rotate', 'probe', 'disconnect', 'send', 'sendNowait', 'request'];

/**
 * Serves members. `post(member, message)` sends to one of them; `broadcast(message)` to all; `locks`: the Web Locks, by
 * which the end of a tab is noticed; `load(module)` imports the module that makes the client; `takeOverSeconds`: the wait
 * before a connection of an earlier owner is resumed; `onLeft(member)`: it is gone.
 */
export class Owner {
  #post;
  #broadcast;
  #locks;
  #load;
  #takeOverSeconds;
  #members = new Map();
  #client = null;
  #module = null;
  #making = null;
  /** The end of the connection of members that have all left. */
  #closing = null;
  #questions = new Map();
  #numbers = 0;
  #calls = new Map();
  /** The readers of keys of all members. */
  #readers = new Map();
  /** Their streams of answers. */
  #streams = new Map();
  #onLeft;

  constructor({ id, post, broadcast, locks, load, takeOverSeconds, onLeft = () => {} }) {
    this.id = id;
    this.#post = post;
    this.#broadcast = broadcast;
    this.#locks = locks;
    this.#load = load;
    this.#takeOverSeconds = takeOverSeconds;
    this.#onLeft = onLeft;
  }

  /** Handles a message of a member. */
  async handle({ type, member, ...message }) {
    if (type === 'join') await this.#join(member, message);
    else if (!this.#members.has(member)) this.#post(member, { type: 'stranger', owner: this.id }); // it joins anew
    else if (type === 'alive') this.#post(member, { type, owner: this.id });
    else if (type === 'call') await this.#call(member, message);
    else if (type === 'withdraw') this.#calls.get(`${member} ${message.id}`)?.abort();
    else if (type === 'token') this.#answerQuestion(message);
    else if (type === 'subscribe') this.#subscribe(member, message);
    else if (type === 'snapshot') this.#post(member, { type, owner: this.id, id: message.id, items: this.#packSnapshot() ?? [] });
    else if (type === 'stream') this.#openStream(member, message);
    else if (type === 'stream close') this.#streams.get(`${member} ${message.id}`)?.close();
    else if (type === 'unsubscribe') this.#unsubscribe(`${member} ${message.id}`);
    else if (type === 'leave') this.#leave(member);
  }

  // --- members ----------------------------------------------------------------------------------------------------------

  async #join(member, { module, hasToken, version, ...earlier }) {
    if (version !== VERSION) {
      this.#refuse(member, new VersionMismatch('tabs of another version of the client have the connection: reload this one'));
      return;
    }
    if (this.#module !== null && this.#module !== module) {
      const text = `the tabs of this origin share this key already, with the module ${this.#module}`;
      this.#refuse(member, new OptionConflict(text, { option: 'module' }));
      return;
    }
    this.#module = module;
    const isNew = !this.#members.has(member);
    this.#members.set(member, { hasToken });
    const making = (this.#making ??= this.#make(module));
    try {
      await making;
    } catch (cause) {
      if (this.#making === making) this.#making = this.#module = null;
      this.#members.delete(member);
      this.#refuse(member, cause?.retryable === undefined ? new UsageError(`the module of join() failed: ${cause}`) : cause);
      return;
    }
    if (this.#making !== making || !this.#members.has(member)) return; // all, or this one, have left meanwhile
    // What this member has seen of an earlier owner is gone on with.
    const outage = earlier.outage && { ...earlier.outage, error: unpackError(earlier.outage.error) };
    this.#client[ADOPT]({ ...earlier, outage, wait: this.#takeOverSeconds });
    const status = packState(this.#client.status);
    this.#post(member, { type: 'welcome', owner: this.id, status, snapshot: this.#packSnapshot() });
    // The lock is free when the tab is closed, or killed.
    if (isNew) this.#locks.request(memberLock(member), () => this.#leave(member)).catch(() => {});
  }

  /** Returns what late readers begin with; null: they begin with the next message. */
  #packSnapshot() {
    return this.#client?.[SNAPSHOT]()?.map(({ item, about }) => packItem(item, () => about)) ?? null;
  }

  #refuse(member, error) {
    this.#post(member, { type: 'refused', owner: this.id, error: packError(error) });
  }

  async #make(module) {
    const makeClient = await this.#load(module);
    await this.#closing; // never two at a time
    if (this.#module !== module) return; // all members have left meanwhile
    const client = makeClient((previous, error) => this.#askToken(previous, error));
    if (typeof client?.[ADOPT] !== 'function') throw new UsageError(NO_CLIENT);
    this.#client = client;
    const tell = (message) => {
      if (this.#client === client) this.#broadcast({ ...message, owner: this.id });
    };
    client.on((item) => tell({ type: 'item', ...packItem(item, (message) => client[DESCRIBE](message)) }), { gaps: true });
    client.onChange((change) => tell({ type: 'change', change: packState(change), status: packState(client.status) }));
  }

  /** Subscribes to the keys of a member's reader. */
  #subscribe(member, { id, keys }) {
    const refused = (error) => this.#post(member, { type: 'keys refused', owner: this.id, id, error: packError(error) });
    const reader = { refused };
    try {
      this.#client[KEYS]().add(reader, keys);
      this.#readers.set(`${member} ${id}`, reader);
    } catch (error) {
      refused(error);
    }
  }

  /** Sends a member's request, and passes on the answers to it. */
  async #openStream(member, { id, message, options }) {
    const name = `${member} ${id}`;
    const tell = (about) => this.#members.has(member) && this.#post(member, { type: 'stream', owner: this.id, id, ...about });
    try {
      const stream = this.#client.requestStream(message, options);
      this.#streams.set(name, stream);
      for await (const item of stream) tell(packItem(item, () => null));
      tell({ isOver: true, error: null });
    } catch (error) {
      tell({ isOver: true, error: packError(error) });
    }
    this.#streams.get(name)?.close();
    this.#streams.delete(name);
  }

  #unsubscribe(name) {
    const reader = this.#readers.get(name);
    if (this.#readers.delete(name)) this.#client?.[KEYS]().drop(reader);
  }

  #leave(member) {
    this.#onLeft(member);
    if (!this.#members.delete(member)) return;
    for (const [name, stream] of [...this.#streams]) if (name.startsWith(`${member} `)) stream.close();
    for (const name of [...this.#readers.keys()]) if (name.startsWith(`${member} `)) this.#unsubscribe(name);
    for (const [key, controller] of this.#calls) if (key.startsWith(`${member} `)) controller.abort();
    for (const question of this.#questions.values()) if (question.member === member) question.onGone();
    if (this.#members.size === 0) this.close();
  }

  /** Closes the connection in order; members that are left wait for another owner. */
  async close() {
    const client = this.#client;
    this.#client = this.#making = this.#module = null;
    this.#readers.clear();
    if (this.#members.size > 0) this.#broadcast({ type: 'lost', owner: this.id });
    this.#closing = client?.close();
    await this.#closing;
  }

  // --- calls ------------------------------------------------------------------------------------------------------------

  async #call(member, { id, name, message, options, isAgain }) {
    const controller = new AbortController();
    const key = `${member} ${id}`;
    this.#calls.set(key, controller);
    const answer = { type: 'answer', owner: this.id, id, value: null, error: null };
    try {
      if (this.#client === null) throw new ClientClosed();
      if (!CALLS.includes(name)) throw new UsageError(`members have no call ${name}`);
      const takesMessage = TAKE_MESSAGES.includes(name);
      const all = { ...options, [AGAIN]: isAgain, signal: controller.signal };
      answer.value = (await (takesMessage ? this.#client[name](message, all) : this.#client[name](all))) ?? null;
    } catch (error) {
      answer.error = packError(error);
    }
    this.#calls.delete(key);
    if (!this.#members.has(member)) return;
    try {
      this.#post(member, answer);
    } catch (cause) {
      const error = new EncodeError('the answer can not be sent to the tab: it is no structured clone', { cause });
      this.#post(member, { ...answer, value: null, error: packError(error) });
    }
  }

  // --- tokens: they are in the memory of the tabs -------------------------------------------------------------------------

  /** Asks the newest tab that has a token function, and another one where it fails, is gone, or takes its time. */
  async #askToken(previous, error) {
    const asked = new Set();
    const answers = [];
    for (;;) {
      const found = [...this.#members].reverse().find(([member, { hasToken }]) => hasToken && !asked.has(member));
      if (found !== undefined) {
        const [member] = found;
        asked.add(member);
        answers.push(
          this.#ask(member, previous, error).then(({ token }) => (token === undefined ? Promise.reject(new Error()) : { token })),
        );
      } else if (answers.length === 0) {
        return null;
      }
      const first = Promise.any(answers).catch(() => ({}));
      const answer = await (found === undefined ? first : Promise.race([first, sleep(TOKEN_SECONDS)]));
      if (answer?.token !== undefined) return answer.token;
      if (found === undefined) throw new TokenFailed('no tab gives a token', { retryable: true });
    }
  }

  #ask(member, previous, error) {
    this.#numbers += 1;
    const id = this.#numbers;
    this.#post(member, { type: 'token', owner: this.id, id, previous, error: packError(error) });
    return new Promise((resolve) => {
      this.#questions.set(id, { member, resolve, onGone: () => resolve({}) });
    }).finally(() => this.#questions.delete(id));
  }

  #answerQuestion({ id, token }) {
    this.#questions.get(id)?.resolve({ token });
  }
}

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** The name of the lock that the owner of a key holds, in a worker or in a tab. */
export const ownerLock = (key) => `onesocket owner ${key}`;

/** The name of the lock that a tab holds as long as it lives. */
export const memberLock = (member) => `onesocket member ${member}`;
