// Discord's gateway v10, as JSON: one session over any number of connections. Pure; time and chance are arguments.

import { ClosedByPeer, ConnectionReset, DecodeError, EncodeError, InvalidOption, LoginRefused, PingTimeout } from '../errors.js';
import { closedByPeer } from '../lifecycle/peer-errors.js';
import { checkUrl, withQuery } from '../urls.js';
import { Sequence } from './discord-sequence.js';
import { deliver, fail, Pace, Protocol, ready, send, wakeAt } from './protocol.js';
import { checkSnapshot } from './snapshot.js';

const Opcode = Object.freeze({
  DISPATCH: 0,
  HEARTBEAT: 1,
  IDENTIFY: 2,
  RESUME: 6,
  RECONNECT: 7,
  INVALID_SESSION: 9,
  HELLO: 10,
  HEARTBEAT_ACK: 11,
});
const RESERVED = [Opcode.HEARTBEAT, Opcode.IDENTIFY, Opcode.RESUME];
const API_VERSION = '10';
/** 1000 and 1001 would end the session. */
const RESUMABLE_CLOSE_CODE = 4000;
const WRONG_TOKEN = 4004;
const REFUSALS = {
  [WRONG_TOKEN]: 'the token is wrong',
  4010: 'shard names a shard that can not be',
  4011: 'too many guilds for one connection: use shards',
  4012: 'the gateway does not speak this version any more: update onesocket',
  4013: 'intents holds a bit that does not exist',
  4014: 'a privileged intent is not allowed: switch it on in the developer portal',
};
const NEEDS_NEW_SESSION = [4007, 4009];
/** Seconds to wait before a new session, after one was refused (Discord's documentation, "Resuming"). */
const INVALID_SESSION_WAIT = [1, 5];
/** Payloads that may be sent in 60 s, less some for heartbeats (Discord's documentation, "Rate Limiting"). */
const PACE = [115, { per: 60 }];
const MAX_PAYLOAD = 4096;
/** Seconds: a heartbeat that comes later proves nothing at first, as the page was busy or frozen, and the answer may wait. */
const LATE = 1;
const MIN_INTERVAL = 1;

/**
 * The client's side of the gateway. Messages are dispatches, `{event, sequence, data}`; *ready* means READY or RESUMED.
 *
 * `intents`: their number. `shard`: `[id, number]`. `properties`, `presence`: as Discord's documentation has them.
 * `heartbeat`: seconds between heartbeats at most (default: as the server says). `snapshot`: a `SnapshotHook`.
 */
export class Discord extends Protocol {
  #identification;
  #random;
  #heartbeat;
  #session = null;
  #sequence = new Sequence();
  #token = null;
  #interval = null;
  #due = null;
  #unansweredSince = null;
  /** True if a late heartbeat was excused: the next one counts, as each timer of a hidden page is late. */
  #isExcused = false;
  #phase = 'new';
  #dialled = null;
  #avoidResumeUrl = false;

  constructor({
    intents,
    shard = null,
    presence = null,
    largeThreshold = null,
    properties = { os: 'browser', browser: 'onesocket', device: 'onesocket' },
    heartbeat = null,
    snapshot = null,
    random = Math.random,
  } = {}) {
    super();
    if (!Number.isInteger(intents) || intents < 0) throw new InvalidOption(`intents must be their number, not ${intents}`);
    const optional = { shard, presence, large_threshold: largeThreshold };
    const given = Object.entries(optional).filter(([, value]) => value !== null);
    this.#identification = { intents, properties, ...Object.fromEntries(given) };
    if (heartbeat !== null && !(typeof heartbeat === 'number' && heartbeat >= MIN_INTERVAL)) {
      throw new InvalidOption(`heartbeat must be a number of seconds >= ${MIN_INTERVAL}, not ${heartbeat}`);
    }
    this.#random = random;
    this.#heartbeat = heartbeat ?? Infinity;
    this.snapshot = checkSnapshot(snapshot, null);
    this.sendsToken = true;
    this.pace = new Pace(...PACE);
    this.eventOf = (message) => message.event;
  }

  prepare(target, _token) {
    const resumeUrl = this.#avoidResumeUrl ? null : (this.#session?.resumeUrl ?? null);
    this.#dialled = resumeUrl ?? target.url;
    const url = withQuery(withQuery(this.#dialled, 'v', API_VERSION), 'encoding', 'json');
    return { ...target, url };
  }

  opened(token, _now) {
    this.#reset();
    this.#token = token;
    return []; // the server speaks first: HELLO
  }

  closing(code) {
    if (code < RESUMABLE_CLOSE_CODE) this.#session = null;
  }

  closed(code, reason) {
    if (code in REFUSALS || NEEDS_NEW_SESSION.includes(code)) this.#session = null;
    if (!(code in REFUSALS)) {
      return code >= 4000 ? new ClosedByPeer(closedByPeer(code, reason).message, { code, reason, retryable: true }) : null;
    }
    const text = `the gateway refused the login with ${code}${reason ? `: ${reason}` : ''}; ${REFUSALS[code]}`;
    return code === WRONG_TOKEN ? new LoginRefused(text) : new ClosedByPeer(text, { code, reason, retryable: false });
  }

  lost(_now) {
    const isResumeUrl = this.#session !== null && this.#dialled === this.#session.resumeUrl;
    // Without HELLO: an outage looks the same, so the session is kept, and tried at both addresses in turn.
    this.#avoidResumeUrl = isResumeUrl && this.#interval === null;
    this.#reset();
  }

  received(data, now) {
    const { op, d, s, t } = this.#read(data);
    switch (op) {
      case Opcode.DISPATCH:
        return this.#dispatch(t, s, d);
      case Opcode.HELLO:
        return this.#hello(d, now);
      case Opcode.HEARTBEAT_ACK:
        this.#unansweredSince = null;
        this.#isExcused = false;
        return [];
      case Opcode.HEARTBEAT:
        return [this.#send(Opcode.HEARTBEAT, this.#sequence.last, now)];
      case Opcode.RECONNECT:
        return [this.#fail(new ConnectionReset('the gateway asked for a reconnect and resume (op 7)'))];
      case Opcode.INVALID_SESSION:
        return [this.#invalidSession(d === true)];
      default: // an opcode of a later version
        return [];
    }
  }

  wake(now) {
    if (this.#due === null || this.#due > now) return [wakeAt(this.#due)];
    const isLate = now - this.#due >= LATE;
    if (this.#unansweredSince !== null && (this.#isExcused || !isLate)) {
      const waited = Number((this.#due - this.#unansweredSince).toFixed(3));
      const text = `no answer to a heartbeat within ${waited} s: the connection is open, but dead`;
      return [this.#fail(new PingTimeout(text), { dead: true })];
    }
    this.#isExcused = this.#unansweredSince !== null; // late, and without an answer
    this.#unansweredSince = now;
    this.#due = now + this.#interval;
    return [this.#send(Opcode.HEARTBEAT, this.#sequence.last, now), wakeAt(this.#due)];
  }

  probe(now, seconds) {
    if (this.#due === null) return []; // HELLO has not come
    const isAsked = this.#unansweredSince !== null && this.#due > now;
    this.#due = Math.min(this.#due > now ? this.#due : Infinity, now + seconds);
    if (isAsked) return [wakeAt(this.#due)];
    this.#isExcused = false;
    this.#unansweredSince = now;
    return [this.#send(Opcode.HEARTBEAT, this.#sequence.last, now), wakeAt(this.#due)];
  }

  encode(message) {
    if (!Number.isInteger(message?.op)) throw new EncodeError('a payload is an object with the number op, and d');
    if (RESERVED.includes(message.op)) throw new EncodeError(`op ${message.op} is sent by the client itself`);
    const text = JSON.stringify(message);
    if (new TextEncoder().encode(text).length > MAX_PAYLOAD) {
      throw new EncodeError(`the gateway takes payloads of at most ${MAX_PAYLOAD} bytes`);
    }
    return text;
  }

  #reset() {
    this.#token = null;
    this.#interval = this.#due = this.#unansweredSince = null;
    this.#isExcused = false;
    this.#phase = 'new';
  }

  #read(data) {
    try {
      const payload = JSON.parse(data);
      if (Number.isInteger(payload?.op)) return payload;
    } catch {
      // see below
    }
    throw new DecodeError('a payload came that is no object with op', { data });
  }

  #hello(hello, now) {
    if (this.#interval !== null) return [];
    this.#interval = Math.max(Math.min(hello.heartbeat_interval / 1000, this.#heartbeat), MIN_INTERVAL);
    this.#due = now + this.#interval * this.#random();
    const session = this.#session;
    if (session !== null) {
      this.#phase = 'resuming';
      const body = { token: this.#token ?? '', session_id: session.id, seq: this.#sequence.resume() };
      return [this.#send(Opcode.RESUME, body, now), wakeAt(this.#due)];
    }
    this.#sequence = new Sequence();
    const identify = { token: this.#token ?? '', ...this.#identification };
    return [this.#send(Opcode.IDENTIFY, identify, now), wakeAt(this.#due)];
  }

  #invalidSession(isResumable) {
    if (isResumable && this.#session !== null) {
      return this.#fail(new ConnectionReset('the gateway asked for a resume on a new connection (op 9)'));
    }
    this.#session = null;
    const [least, most] = INVALID_SESSION_WAIT;
    const retryAfter = least + this.#random() * (most - least);
    const error = new ConnectionReset('the gateway refused the session (op 9): the next login begins a new one', { retryAfter });
    error.backsOff = this.#phase !== 'resuming'; // after an outage the session may be gone
    return this.#fail(error);
  }

  #dispatch(event, sequence, data) {
    const message = Object.freeze({ event, sequence, data });
    if (event === 'READY') return this.#begin(message);
    const isNew = sequence === null || this.#sequence.isNew(sequence);
    if (event === 'RESUMED' && this.#phase === 'resuming') {
      this.#phase = 'ready';
      const resumed = !this.#sequence.hasLost;
      this.#sequence.hasLost = false;
      return [ready({ resumed }), deliver(message)];
    }
    return isNew ? [deliver(message)] : []; // a replay delivers none twice
  }

  #begin(message) {
    const { session_id: id, resume_gateway_url: resumeUrl } = message.data;
    if (this.#phase === 'ready' && this.#session?.id === id) return []; // a duplicate
    if (this.#phase !== 'new') this.#sequence = new Sequence(); // of another session than this connection's login
    if (message.sequence !== null) this.#sequence.begin(message.sequence);
    this.#phase = 'ready';
    this.#session = { id, resumeUrl: this.#safeResumeUrl(resumeUrl) };
    return [ready(), deliver(message)];
  }

  /** Returns the resume address if it is valid, and has TLS where the gateway has. */
  #safeResumeUrl(value) {
    try {
      const url = checkUrl(value);
      return url.startsWith('wss:') || !this.#dialled.startsWith('wss:') ? url : null;
    } catch {
      return null;
    }
  }

  #send(op, d, now) {
    this.pace.record(now);
    return send(JSON.stringify({ op, d }));
  }

  #fail(error, { dead = false } = {}) {
    return fail(error, { code: RESUMABLE_CLOSE_CODE, dead });
  }
}
