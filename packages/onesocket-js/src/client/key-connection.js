// The subscriptions of one connection, kept equal to the keys that are wanted.

import { DecodeError } from '../errors.js';
import { answersOf, messagesOf } from '../protocols/subscriptions.js';

const halves = (keys) => {
  const middle = Math.ceil(keys.length / 2);
  return [keys.slice(0, middle), keys.slice(middle)].filter((half) => half.length > 0);
};
const first = (keys, count) => [...keys].slice(0, count ?? undefined);

/** Messages about keys, and the answers to them that are missing. */
class KeyRequest {
  refusal = null;

  constructor(keys, frames, subscribes) {
    this.keys = keys;
    /** The messages that are not sent yet. */
    this.frames = [...frames];
    this.all = frames;
    this.subscribes = subscribes;
    /** Number of answers without keys that are missing. */
    this.missingAnswers = frames.length;
    this.unanswered = new Set(keys);
  }
}

/**
 * The subscriptions of one connection: it begins with nothing, and gets all that is wanted. Frames are made when the
 * connection has room for them, of the keys that are wanted by then.
 */
export class KeyConnection {
  #declared;
  #encode;
  #requests;
  #platform;
  #report;
  #wanted;
  #batch;
  #pace;
  /** The keys that the connection has, with the requests that brought them. */
  #held = new Map();
  /** Wanted keys that it hasn't, and keys that it has and that are not wanted any more, in order. */
  #missing;
  #unwanted = new Set();
  /** Parts of refused requests: they are asked for one after the other, to find the key that was refused. */
  #groups = [];
  /** Keys of refused requests of which a part may have been accepted. */
  #undone = [];
  #present = null;
  /** True once a frame of the present request is sent: the others follow. */
  #isBegun = false;
  /** Requests without an answer, in order. */
  #pending = [];
  #cancelTurn = null;
  /** Called where there may be frames, or an answer has come. */
  onChange;

  /**
   * `requests`: the tracker, if the messages are requests. `wanted.counts`: the keys that have subscribers;
   * `wanted.refuse(keys, reason)`: they are not wanted any more.
   */
  constructor({ subscriptions, encode, requests, platform, report, wanted, onChange }) {
    this.#declared = subscriptions;
    this.#encode = encode;
    this.#requests = subscriptions.requests ? requests : null;
    this.#platform = platform;
    this.#report = report;
    this.#wanted = wanted;
    this.#batch = subscriptions.unsubscribe === null ? 1 : subscriptions.batch;
    this.#pace = subscriptions.pace?.another() ?? null;
    this.#missing = new Set(wanted.counts.keys);
    this.onChange = onChange;
  }

  /** True if all frames are sent, and answered where answers are declared. */
  get isSettled() {
    const isAsked = this.#present === null || this.#present.frames.length === 0;
    const isLeft = this.#missing.size > 0 || this.#unwanted.size > 0 || this.#undone.length > 0;
    return isAsked && !isLeft && this.#pending.length === 0;
  }

  /** Keys got their first subscriber. */
  added(keys) {
    for (const key of keys) if (!this.#unwanted.delete(key)) this.#missing.add(key);
    this.#changed();
  }

  /** Keys have no subscriber any more. */
  dropped(keys) {
    for (const key of keys) if (!this.#missing.delete(key)) this.#unwanted.add(key);
    this.#changed();
  }

  /** Keys are not wanted any more, as they are refused. */
  refused(keys) {
    this.#forgetAll(keys);
    this.#changed();
  }

  #changed() {
    if (!this.#isBegun) this.#present = null; // keys that came and went while it waited cost nothing
    this.onChange();
  }

  // --- frames -----------------------------------------------------------------------------------------------------------

  /** The connection is gone. */
  end() {
    this.#cancelTurn?.();
    this.#cancelTurn = null;
    this.onChange = () => {};
  }

  /** Returns the next frame; null: the connection has what is wanted, or the frame has to wait for its turn. */
  peek() {
    while (this.#present === null || this.#present.frames.length === 0) {
      [this.#present, this.#isBegun] = [this.#nextRequest(), false];
      if (this.#present === null) return null;
      if (this.#present.frames.length === 0) this.#begun(this.#present); // the service wants no message for these keys
    }
    if (this.#mustWait()) return null;
    return this.#present.frames[0].makeFrame();
  }

  /** The frame is sent. */
  taken() {
    this.#present.frames.shift();
    this.#pace?.record(this.#platform.now());
    if (this.#isBegun) return;
    this.#isBegun = true;
    this.#begun(this.#present);
  }

  #mustWait() {
    const wait = this.#pace?.wait(this.#platform.now()) ?? 0;
    if (wait > 0) {
      this.#cancelTurn ??= this.#platform.setTimer(wait, () => {
        this.#cancelTurn = null;
        this.onChange();
      });
    }
    return wait > 0;
  }

  // --- requests ---------------------------------------------------------------------------------------------------------

  #nextRequest() {
    const { subscribe, unsubscribe } = this.#declared;
    // What is left first: the peer may have a limit.
    while (this.#undone.length > 0 || this.#unwanted.size > 0) {
      const keys = this.#undone[0] ?? first(this.#unwanted, this.#batch);
      const request = this.#makeRequest(unsubscribe ?? ((left) => this.#stops(left)), keys, false);
      if (request !== null) return request;
      this.#forget(keys);
      // The others shall not be kept with one that can't be expressed.
      if (keys.length > 1) this.#undone.unshift(...halves(keys));
    }
    while (this.#missing.size > 0) {
      const keys = this.#nextMissing();
      const request = this.#makeRequest(subscribe, keys, true);
      if (request !== null) return request;
      if (keys.length === 1) this.#refuse(keys, 'the protocol can not make a message that subscribes to it');
      else this.#groups.splice(0, this.#groups.length > 0 ? 1 : 0, ...halves(keys));
    }
    return null;
  }

  #nextMissing() {
    while (this.#groups.length > 0) {
      const group = this.#groups[0].filter((key) => this.#missing.has(key));
      this.#groups[0] = group;
      if (group.length > 0) return group;
      this.#groups.shift();
    }
    return first(this.#missing, this.#batch);
  }

  /** Returns the request for these keys; null if the protocol can't make it, which is reported of a single key. */
  #makeRequest(make, keys, subscribes) {
    try {
      const frames = messagesOf(make([...keys])).map((message) => this.#makeFrame(message, subscribes));
      return new KeyRequest(keys, frames, subscribes);
    } catch (error) {
      if (keys.length === 1) this.#report(error);
      return null;
    }
  }

  #makeFrame(message, subscribes) {
    if (this.#requests === null) {
      const data = this.#encode(message);
      return { makeFrame: () => data };
    }
    return this.#requests.number(message, { isAnswered: subscribes, connection: this });
  }

  *#stops(keys) {
    for (const request of new Set(keys.map((key) => this.#held.get(key)))) {
      for (const frame of request.all) {
        const message = frame.stopMessage();
        if (message !== null) yield message;
      }
    }
  }

  /** Takes the keys of a request whose first frame is sent for those of the connection, or not any more. */
  #begun(request) {
    if (!request.subscribes) {
      this.#forget(request.keys);
      return;
    }
    if (this.#groups[0] === request.keys) this.#groups.shift();
    for (const key of request.keys) {
      this.#missing.delete(key);
      this.#held.set(key, request);
    }
    if (request.missingAnswers === 0 || (this.#declared.ack === null && this.#requests === null)) return;
    this.#pending.push(request);
    if (this.#requests === null) return;
    for (const frame of request.all) frame.onAnswer = (answer) => this.#answeredById(request, answer);
  }

  #forget(keys) {
    if (this.#undone[0] === keys) {
      this.#undone.shift();
      return;
    }
    for (const key of keys) {
      this.#held.delete(key);
      this.#unwanted.delete(key);
    }
  }

  // --- answers ----------------------------------------------------------------------------------------------------------

  /** Looks for an answer in a message. */
  received(message) {
    if (this.#pending.length === 0 || this.#declared.ack === null) return;
    try {
      for (const { keys, refused } of answersOf(this.#declared.ack(message))) {
        if (keys !== null) this.#answeredByName(keys, refused);
        else if (this.#pending.length > 0) this.#takeVerdict(this.#pending[0], refused);
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) this.#report(error);
    }
  }

  #answeredById(request, answer) {
    if (!this.#pending.includes(request)) return;
    let refusal = null;
    try {
      refusal = this.#requests.reasonOf(answer);
    } catch (error) {
      this.#report(error);
    }
    this.#takeVerdict(request, refusal);
  }

  #takeVerdict(request, refusal) {
    request.missingAnswers -= 1;
    request.refusal = refusal ?? request.refusal;
    if (request.missingAnswers > 0) return;
    this.#pending.splice(this.#pending.indexOf(request), 1);
    if (request.refusal === null) this.onChange();
    else this.#refusedAsAWhole(request, request.refusal);
  }

  #answeredByName(keys, refusal) {
    const refused = [];
    for (const key of keys) {
      const request = this.#pending.find(({ unanswered }) => unanswered.has(key));
      if (request === undefined) continue;
      request.unanswered.delete(key);
      if (request.unanswered.size === 0) this.#pending.splice(this.#pending.indexOf(request), 1);
      if (this.#held.get(key) === request) refused.push(key); // else it was asked for again, and another answer follows
    }
    if (refusal !== null && refused.length > 0) this.#refuse(refused, refusal);
    else this.onChange();
  }

  /** Refuses the key of a request, or asks for several in parts: most may be refused for the sake of one. */
  #refusedAsAWhole(request, reason) {
    const keys = request.keys.filter((key) => request.unanswered.has(key) && this.#held.get(key) === request);
    if (request.all.length > 1 && keys.length > 0) this.#undone.push([...keys]); // some of its messages may have been accepted
    if (request.keys.length === 1) {
      this.#refuse(keys, reason);
      return;
    }
    const wanted = keys.filter((key) => this.#wanted.counts.has(key));
    this.#forgetAll(keys);
    for (const key of wanted) this.#missing.add(key);
    this.#groups.push(...halves(wanted));
    this.#changed();
  }

  #forgetAll(keys) {
    for (const key of keys) for (const collection of [this.#held, this.#unwanted, this.#missing]) collection.delete(key);
  }

  #refuse(keys, reason) {
    this.#wanted.refuse(keys, reason);
  }
}
