// Random lives of a client with a hostile server, in virtual time: every call ends, there are never two sockets (three with
// rotations), the fates of messages agree with what the server has, nothing that comes is missing without a gap, doubled or out
// of order, and nothing is left. Arguments: the first seed, and their number.

import * as one from '../../packages/onesocket-js/src/index.js';
import { Clock, turn } from './fake_socket.mjs';
import { randomOf, runLives, socketsOf } from './hostile_socket.mjs';

const STEPS = 120;
const STOPPED = ['ManuallyDisconnected', 'ClientClosed'];

const nameOf = (promise) => promise.then((value) => value ?? 'done', ({ name }) => name);

function makeClient(random, clock, WebSocket, rotation) {
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
    rotation,
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
  const age = random(2) ? 5 + random(20) : null;
  const options = { identity: ({ number }) => number, age, retry: 3, closeFirst: random(2) === 0 };
  const rotation = seed % 2 ? new one.Rotation(options) : null;
  // Where a feed is never silent, a rotation finds a successor that brings nothing.
  const isSteady = random(2) === 0;
  const limits = { atMost: rotation === null ? 1 : 2, hasMutes: isSteady };
  const { sockets, HostileSocket, feed } = socketsOf(random, clock, problems, limits);
  const client = makeClient(random, clock, HostileSocket, rotation);
  let numbers = 0;
  let last = null;
  let isOver = false;
  const feedNext = () => feed({ number: (numbers += 1) });
  const feedSteadily = () => {
    feedNext();
    if (!isOver) clock.setTimer(0.2, feedSteadily);
  };
  if (isSteady) feedSteadily();
  client.on(
    (item) => {
      if (item instanceof one.Gap) last = null;
      else if (last !== null && item.number !== last + 1) problems.push(`${item.number} came after ${last}`);
      if (item.number !== undefined) last = item.number;
    },
    { gaps: true },
  );
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
    const what = random(rotation === null ? 12 : 14);
    if (what < 3) track('connect', client.connect({ signal, retry: random(4) === 0 ? true : null }));
    else if (what === 3) track('reconnect', client.reconnect({ signal }));
    else if (what === 4 && random(3) === 0) track('disconnect', client.disconnect());
    else if (what < 8) send();
    else if (what === 8) track('request', client.request({}, { timeout: 7, resend: random(2) === 0, signal }));
    else if (what === 9) connectNowait();
    else if (what > 11) track('rotate', client.rotate({ signal }));
    else if (what === 10) track('waitFor', client.waitFor('connected', { timeout: 30 }));
    else watch();
    if (random(4) === 0) setImmediate(() => controller.abort(new TypeError('withdrawn')));
    if (random(6) === 0) controller.abort(new TypeError('withdrawn'));
  };

  for (let step = 0; step < STEPS; step += 1) {
    if (random(2)) act();
    for (let count = random(6); count > 0; count -= 1) feedNext();
    if (random(2)) clock.advance(random(30) / 10);
    if (random(2)) await turn();
  }
  isOver = true;
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

await runLives(live);
