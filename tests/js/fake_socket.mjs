// A class of sockets that the test moves, and a clock: a client without a server, in virtual time.

/** A clock for `platform:`, whose time passes only by `advance(seconds)`. */
export class Clock {
  #now = 0;
  #timers = new Set();

  now = () => this.#now;

  /** Number of timers that are set. */
  get size() {
    return this.#timers.size;
  }

  setTimer = (seconds, call) => {
    const timer = { at: this.#now + seconds, call };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  };

  /** Lets time pass, and calls what is due, in order. */
  advance(seconds) {
    const end = this.#now + seconds;
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#timers.delete(due);
      this.#now = Math.max(this.#now, due.at);
      due.call();
    }
    this.#now = end;
  }
}

/** A turn of the event loop: all promises that can go on have done so. */
export const turn = () => new Promise(setImmediate);

/** A socket of a browser, whose server is the test: `open()`, `receive(data)` and `closed(code)`. */
class FakeSocket {
  readyState = 0;
  bufferedAmount = 0;
  sent = [];
  closes = [];

  constructor(url, subprotocols) {
    Object.assign(this, { url, subprotocols });
  }

  send(data) {
    this.sent.push(data);
  }

  close(code, reason) {
    this.closes.push([code, reason]);
    this.readyState = 2;
  }

  open() {
    this.readyState = 1;
    this.onopen({});
  }

  receive(...all) {
    for (const data of all) this.onmessage?.({ data: typeof data === 'string' ? data : JSON.stringify(data) });
  }

  closed(code = 1006, reason = '') {
    this.readyState = 3;
    this.onclose({ code, reason, wasClean: code !== 1006 });
  }
}

/** Returns `{client, clock, sockets, errors, seen}`; `options`: of the client, and `one`: the package. */
export function makeClient(one, options = {}) {
  const [sockets, errors, seen] = [[], [], []];
  class WebSocket extends FakeSocket {
    constructor(...all) {
      super(...all);
      sockets.push(this);
    }
  }
  const clock = new Clock();
  const platform = { now: clock.now, setTimer: clock.setTimer, random: () => 0 };
  const onError = (error) => errors.push(error);
  const client = new one.Client('ws://host/', { logger: null, onError, platform, WebSocket, ...options });
  client.on((item) => seen.push(item instanceof one.Gap ? item.reason : item), { gaps: true });
  /** Connects, and has the server accept that. */
  const open = async () => {
    const outcome = client.connect();
    await turn();
    sockets.at(-1).open();
    return outcome;
  };
  /** Lets time pass in small steps, with a turn of the event loop after each. */
  const pass = async (seconds, step = 0.5) => {
    for (let passed = 0; passed < seconds; passed += step) {
      clock.advance(step);
      await turn();
    }
  };
  return { client, clock, sockets, errors, seen, open, pass };
}
