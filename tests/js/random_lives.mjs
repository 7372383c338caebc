// Random lives of a client with a hostile server, in virtual time: every call ends, there are never two sockets, the fates of
// messages agree with what the server has, and nothing is left. Arguments: the first seed, and their number.

import * as one from '../../packages/onesocket-js/src/index.js';
import { Clock, turn } from './fake_socket.mjs';

const STEPS = 120;
/** Seconds after which a client may leave a socket that doesn't end: a page can't reset it. */
const GIVEN_UP = 0.99;
const CODES = [1006, 1000, 1001, 1008, 1011, 1013, 4000];
const REASONS = ['', 'token expired', 'too many connections'];
const STOPPED = ['ManuallyDisconnected', 'ClientClosed'];

const nameOf = (promise) => promise.then((value) => value ?? 'done', ({ name }) => name);

/** Returns random whole numbers below `count`, the same ones for a seed. */
function randomOf(seed) {
  let number = seed * 7919 + 13;
  return (count) => (number = (number * 48271 + 11) % 2147483647) % count;
}

/** Sockets of a server that answers late, never, or with an end; `got` is what it has read. */
function socketsOf(random, clock, problems) {
  const sockets = [];
  const later = (tenths, call) => clock.setTimer(random(tenths) / 10, call);

  class HostileSocket {
    readyState = 0;
    bufferedAmount = 0;
    sent = [];
    got = [];
    isGivenUp = false;
    #isSlow = random(3) === 0;
    #acknowledges = random(4) !== 0;
    #readAt = 0;

    constructor() {
      if (random(40) === 0) throw new TypeError('no socket');
      sockets.push(this);
      if (sockets.filter(({ readyState, isGivenUp }) => readyState < 3 && !isGivenUp).length > 1) problems.push('two sockets');
      const opens = random(6) !== 0;
      if (opens) later(30, () => (this.readyState === 0 ? this.#open() : this.#end(1006)));
      else if (random(3)) later(100, () => this.#end(1006));
      if (random(3) === 0) later(200, () => this.readyState === 1 && this.#end(CODES[random(CODES.length)], REASONS[random(3)]));
    }

    #open() {
      this.readyState = 1;
      this.onopen({});
    }

    #end(code, reason = '') {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose({ code, reason, wasClean: code !== 1006 });
    }

    send(data) {
      if (this.readyState !== 1) problems.push(`sent in readyState ${this.readyState}`);
      this.sent.push(data);
      if (this.#isSlow) this.#readLater(data);
      else this.got.push(data);
      const { id } = JSON.parse(data);
      if (id && random(3)) later(40, () => this.readyState === 1 && this.onmessage({ data: JSON.stringify({ id }) }));
    }

    #readLater(data) {
      this.bufferedAmount += data.length;
      this.#readAt = Math.max(this.#readAt, clock.now()) + random(20) / 10;
      clock.setTimer(this.#readAt - clock.now(), () => {
        if (this.readyState !== 1) return;
        this.got.push(data);
        this.bufferedAmount -= data.length;
      });
    }

    close(code) {
      const wasOpening = this.readyState === 0;
      if (this.readyState > 1) return;
      this.readyState = 2;
      clock.setTimer(GIVEN_UP, () => {
        this.isGivenUp = true;
      });
      if (wasOpening) later(20, () => this.#end(1006));
      else if (this.#acknowledges) later(20, () => this.#acknowledge(code));
    }

    #acknowledge(code) {
      if (this.readyState !== 2) return;
      this.got = [...this.sent];
      this.#end(code);
    }
  }
  return { sockets, HostileSocket };
}

function makeClient(random, clock, WebSocket) {
  let tokens = 0;
  const token = () => {
    tokens += 1;
    const kind = random(6);
    if (kind === 0) throw new TypeError('no token');
    return kind > 1 ? `token ${tokens}` : new Promise((resolve) => clock.setTimer(random(300) / 10, () => resolve('late')));
  };
  const policy = () => new one.ReconnectPolicy({ initial: 0.5, cap: 4, maxAttempts: random(3) ? null : 3, busyDelay: 2 });
  return new one.Client('ws://host/', {
    logger: null,
    onError: () => {},
    WebSocket,
    platform: { now: clock.now, setTimer: clock.setTimer, random: () => random(1000) / 1000 },
    token: random(2) ? token : 'a token',
    reconnect: random(5) ? policy() : null,
    outbox: new one.OutboxLimits({ messages: 50, age: 20 }),
    protocol: new one.Json({ requests: new one.Requests(), tokenPlace: new one.TokenQuery() }),
  });
}

/** Lives one life; returns what went wrong. */
async function live(seed) {
  const random = randomOf(seed);
  const clock = new Clock();
  const problems = [];
  const { sockets, HostileSocket } = socketsOf(random, clock, problems);
  const client = makeClient(random, clock, HostileSocket);
  const calls = [];
  const controllers = [];
  const messages = [];
  const track = (name, promise) => {
    const call = { name, result: null };
    calls.push(call);
    nameOf(promise).then((result) => {
      call.result = result;
    });
  };
  const send = () => {
    const message = { n: messages.length + 1, resend: random(3) === 0, fate: null };
    messages.push(message);
    try {
      const delivery = client.sendNowait({ n: message.n }, message);
      delivery.then(
        () => (message.fate = 'sent'),
        ({ name }) => (message.fate = name),
      );
    } catch ({ name }) {
      message.fate = name;
      if (![...STOPPED, 'OutboxFull'].includes(name)) problems.push(`send: ${name}`);
    }
  };
  const connectNowait = () => {
    try {
      client.connectNowait();
    } catch ({ name, retryable }) {
      if (!retryable && !STOPPED.includes(name)) problems.push(`connectNowait: ${name}`);
    }
  };
  const watch = () =>
    client.onChange(() => {
      if (random(20) === 0) track('disconnect() in a watcher', client.disconnect());
      if (random(20) === 0) track('connect() in a watcher', client.connect());
      if (random(30) === 0) track('reconnect() in a watcher', client.reconnect());
      if (random(10) === 0) controllers.pop()?.abort(new TypeError('withdrawn in a watcher'));
    });
  const act = () => {
    const controller = new AbortController();
    controllers.push(controller);
    const { signal } = controller;
    const what = random(12);
    if (what < 3) track('connect', client.connect({ signal, retry: random(4) === 0 ? true : null }));
    else if (what === 3) track('reconnect', client.reconnect({ signal }));
    else if (what === 4 && random(3) === 0) track('disconnect', client.disconnect());
    else if (what < 8) send();
    else if (what === 8) track('request', client.request({}, { timeout: 7, resend: random(2) === 0, signal }));
    else if (what === 9) connectNowait();
    else if (what === 10) track('waitFor', client.waitFor('connected', { timeout: 30 }));
    else watch();
    if (random(4) === 0) setImmediate(() => controller.abort(new TypeError('withdrawn')));
    if (random(6) === 0) controller.abort(new TypeError('withdrawn'));
  };

  for (let step = 0; step < STEPS; step += 1) {
    if (random(2)) act();
    if (random(2)) clock.advance(random(30) / 10);
    if (random(2)) await turn();
  }
  track('close', client.close());
  for (let half = 0; half < 100; half += 1) {
    clock.advance(0.5);
    await turn();
  }
  for (const { name, result } of calls) if (result === null) problems.push(`${name} hangs in ${client.state}`);
  if (client.state !== 'closed') problems.push(`the client is ${client.state}`);
  if (clock.size > 0) problems.push(`${clock.size} timers are left`);
  for (const { n, resend, fate } of messages) {
    const copies = sockets.flatMap(({ got }) => got).filter((data) => JSON.parse(data).n === n).length;
    const mayHaveArrived = fate === 'sent' || fate === 'DeliveryUnknown';
    if (fate === null || (fate === 'sent' && copies === 0) || (!mayHaveArrived && copies > 0) || (copies > 1 && !resend)) {
      problems.push(`message ${n} has the fate ${fate}, and the server has it ${copies} times`);
    }
  }
  return problems;
}

const [first, count] = process.argv.slice(2).map(Number);
for (let seed = first; seed < first + count; seed += 1) {
  const problems = await live(seed);
  if (problems.length > 0) console.log(`seed ${seed}: ${problems.slice(0, 4).join('; ')}`);
}
console.log(`${count} lives`);
