// Notices for a page's user: each has a stable id, is shown once while it holds, and withdrawn afterwards.

import { InvalidOption, ServerBusy, SessionExpired } from './errors.js';
import { NoticeId, NoticeLevel, State } from './lifecycle/table.js';
import { printable } from './printable.js';

const OF_CONNECTION = [NoticeId.CONNECTION_FAILED, NoticeId.CONNECTION_LOST, NoticeId.SERVICE_BUSY];
const OF_SIGN_IN = [NoticeId.SIGN_IN_FAILED, NoticeId.SESSION_EXPIRED];
const MASK = '***';

/**
 * Board of the notices that hold now. A sink has `show(notice)` and `withdraw(id)`; a notice has `id`, `level`, `title`,
 * `text` (one line) and `since` (Unix time in seconds).
 */
export class Notices {
  #sinks = new Set();
  #active = new Map();
  #pending = [];
  #isNotifying = false;
  #date;

  constructor(sinks = [], { date = () => Date.now() / 1000 } = {}) {
    this.#date = date;
    for (const sink of sinks) this.add(sink);
  }

  /** The notices that hold now, the oldest first. The same array until something changes. */
  get active() {
    this.#snapshot ??= Object.freeze([...this.#active.values()]);
    return this.#snapshot;
  }

  #snapshot = null;

  /** Adds a sink, and shows it the active notices; returns the function that removes it. */
  add(sink) {
    if (typeof sink?.show !== 'function' || typeof sink.withdraw !== 'function') {
      throw new InvalidOption('a notice sink has the functions show(notice) and withdraw(id)');
    }
    this.#sinks.add(sink);
    for (const notice of this.active) notify(sink, notice);
    return () => {
      this.#sinks.delete(sink);
    };
  }

  /** Posts a notice, or a new text of the one with this id; returns it. */
  post(id, level, title, text) {
    const old = this.#active.get(id);
    const line = printable(text);
    if (old && old.level === level && old.title === title && old.text === line) return old;
    const notice = Object.freeze({ id, level, title, text: line, since: old?.since ?? this.#date() });
    this.#active.set(id, notice);
    this.#notifyAll(notice);
    return notice;
  }

  /** Withdraws the notices with these ids. */
  withdraw(...ids) {
    for (const id of ids) if (this.#active.delete(id)) this.#notifyAll(id);
  }

  #notifyAll(update) {
    this.#snapshot = null;
    // A sink may post in turn: that waits for the end of this round, or the next sink would be called out of order.
    this.#pending.push(update);
    if (this.#isNotifying) return;
    this.#isNotifying = true;
    while (this.#pending.length > 0) {
      const next = this.#pending.shift();
      for (const sink of [...this.#sinks]) notify(sink, next);
    }
    this.#isNotifying = false;
  }
}

function notify(sink, update) {
  try {
    if (typeof update === 'string') sink.withdraw(update);
    else sink.show(update);
  } catch (error) {
    console.error('onesocket: a notice sink failed', error);
  }
}

/** Calls `show` with each notice, and `withdraw` with the id of each that is over. */
export class CallableSink {
  constructor(show, withdraw = () => {}) {
    Object.assign(this, { show, withdraw });
  }
}

/** Writes notices to the console. */
export class ConsoleSink {
  show({ level, title, text }) {
    const write = { [NoticeLevel.INFO]: 'info', [NoticeLevel.WARNING]: 'warn', [NoticeLevel.ERROR]: 'error' }[level];
    console[write](`${title}: ${text}`);
  }

  withdraw() {}
}

/** Posts the state of one connection to `service` on a board. `hide()` returns the secrets to be masked. */
export class ConnectionNotices {
  #service;
  #hide;

  constructor(board, service, hide) {
    this.board = board;
    this.#service = service;
    this.#hide = hide;
  }

  /** The state changed; `retryIn`: seconds until the next attempt, null: none is due. */
  changed({ new: state, error }, retryIn) {
    switch (state) {
      case State.CONNECTED:
        this.board.withdraw(...OF_CONNECTION, ...OF_SIGN_IN);
        break;
      case State.FAILED:
        if (error !== null && !(error instanceof SessionExpired)) this.failed(error);
        else this.board.withdraw(...OF_CONNECTION);
        break;
      case State.BACKING_OFF:
        if (error !== null) this.#lost(error, retryIn);
        break;
      case State.DISCONNECTED:
      case State.STOPPED:
      case State.CLOSED:
        this.board.withdraw(...OF_CONNECTION);
        break;
      default: // under way: the notices still hold
    }
  }

  /** Connecting failed, and is not retried. */
  failed(error) {
    if (error instanceof ServerBusy) {
      this.#postOne(NoticeId.SERVICE_BUSY, NoticeLevel.ERROR, 'Service Busy', this.#busy(error));
    } else {
      const text = `Failed to connect to ${this.#service}: ${error.message}`;
      this.#postOne(NoticeId.CONNECTION_FAILED, NoticeLevel.ERROR, 'Connection Failed', text);
    }
  }

  #lost(error, retryIn) {
    const seconds = Math.ceil(retryIn ?? 0);
    const then = seconds ? `trying again in ${seconds} s` : 'trying again now';
    if (error instanceof ServerBusy) {
      this.#postOne(NoticeId.SERVICE_BUSY, NoticeLevel.WARNING, 'Service Busy', `${this.#busy(error)}; ${then}`);
    } else {
      const text = `Lost the connection to ${this.#service}: ${error.message}; ${then}`;
      this.#postOne(NoticeId.CONNECTION_LOST, NoticeLevel.WARNING, 'Connection Lost', text);
    }
  }

  #busy(error) {
    return `Not accepted by ${this.#service}: ${error.message}`;
  }

  /** `auth` failed. */
  signInFailed(error) {
    const text = `Failed to sign in to ${this.#service}: ${error.message}`;
    this.#post(NoticeId.SIGN_IN_FAILED, NoticeLevel.ERROR, 'Sign-in Failed', text);
  }

  /** The connection was closed because no user is signed in any more. */
  sessionExpired() {
    this.board.withdraw(...OF_CONNECTION, NoticeId.SIGN_IN_FAILED);
    const text = `Disconnected from ${this.#service}: no user is signed in any more`;
    this.#post(NoticeId.SESSION_EXPIRED, NoticeLevel.WARNING, 'Session Expired', text);
  }

  /** `auth` answered. */
  authAnswered({ signedIn }) {
    this.board.withdraw(NoticeId.SIGN_IN_FAILED);
    if (signedIn) this.board.withdraw(NoticeId.SESSION_EXPIRED);
  }

  /** The connection was closed on purpose. */
  clear() {
    this.board.withdraw(...OF_CONNECTION, ...OF_SIGN_IN);
  }

  #postOne(id, level, title, text) {
    this.board.withdraw(...OF_CONNECTION.filter((other) => other !== id));
    this.#post(id, level, title, text);
  }

  #post(id, level, title, text) {
    const shown = this.#hide().reduce((masked, secret) => masked.replaceAll(secret, MASK), text);
    this.board.post(id, level, title, shown);
  }
}
