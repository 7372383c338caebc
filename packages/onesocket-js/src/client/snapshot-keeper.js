// Keepers of the messages with which late readers begin, where the connection is.

import { GapReason } from '../lifecycle/table.js';
import { SnapshotHook } from '../protocols/snapshot.js';

/** The key of the newest message that could not be read: its place is known, not its key. */
const UNREADABLE = Symbol('unreadable');

/** Keeps the newest item of each key. */
class LastValueKeeper {
  #keyOf;
  #limit;
  #report;
  #hasSubscribedKeys;
  #items = new Map();
  /** Keys whose subscription has ended on the present connection: their last messages are out of date soon. */
  #ended = new Set();

  constructor({ key, limit }, subscriptions, report) {
    this.#hasSubscribedKeys = key === null;
    if (key === null) this.#keyOf = (message) => subscriptions.key(message);
    else this.#keyOf = typeof key === 'function' ? key : (message) => message?.[key];
    this.#limit = limit;
    this.#report = report;
  }

  put(message) {
    try {
      const key = this.#keyOf(message) ?? null;
      if (key !== null && !this.#ended.has(key)) this.#set(key, message);
    } catch (error) {
      this.#report(error);
    }
  }

  #set(key, item) {
    this.#items.delete(key);
    this.#items.set(key, item); // the newest is the last one
    if (this.#items.size > this.#limit) this.#items.delete(this.#items.keys().next().value);
  }

  lose(gap) {
    if (gap.reason === GapReason.UNDECODABLE) this.#set(UNREADABLE, gap);
    if (gap.reason !== GapReason.RECONNECTED) return;
    this.#items.clear();
    this.#ended.clear();
  }

  /** The subscription to these keys has ended. */
  forget(keys) {
    for (const key of keys) {
      this.#items.delete(key);
      if (this.#hasSubscribedKeys) this.#ended.add(key);
    }
  }

  /** The subscription to these keys begins. */
  expect(keys) {
    for (const key of keys) this.#ended.delete(key);
  }

  items() {
    return [...this.#items.values()];
  }
}

/** Asks functions of the program; those that fail are reported. */
class HookKeeper {
  #hook;
  #report;

  constructor(hook, report) {
    this.#hook = hook;
    this.#report = report;
  }

  put(message) {
    this.#call('update', message);
  }

  lose(gap) {
    if (gap.reason === GapReason.RECONNECTED) this.#call('reset');
  }

  forget() {}

  expect() {}

  items() {
    return [...(this.#call('messages') ?? [])];
  }

  #call(name, ...all) {
    try {
      return this.#hook[name]?.(...all);
    } catch (error) {
      this.#report(error);
      return null;
    }
  }
}

/** Returns the keeper of a protocol's snapshot; null: it has none. */
export function makeSnapshotKeeper({ snapshot, subscriptions }, report) {
  if (snapshot === null) return null;
  return snapshot instanceof SnapshotHook ? new HookKeeper(snapshot, report) : new LastValueKeeper(snapshot, subscriptions, report);
}
