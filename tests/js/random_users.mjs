// Random lives of a provider whose users come and go, with a hostile server, in virtual time: every call ends, there are never
// two sockets, none is open after a logout, and the last login decides whose it is. Arguments: the first seed, and their number.

import * as one from '../../packages/onesocket-js/src/index.js';
import { Clock, turn } from './fake_socket.mjs';
import { randomOf, runLives, socketsOf } from './hostile_socket.mjs';

const STEPS = 100;

globalThis.reportError = () => {}; // of watchers that throw on purpose
console.error = () => {};

/** Lives one life; returns what went wrong. */
async function live(seed) {
  const random = randomOf(seed);
  const clock = new Clock();
  const problems = [];
  const { sockets, HostileSocket } = socketsOf(random, clock, problems);
  const platform = { now: clock.now, setTimer: clock.setTimer, random: () => random(1000) / 1000 };
  let user = 'user 0';
  const auth = () => {
    const kind = random(10);
    if (kind === 0) throw new TypeError('no auth');
    if (kind === 1) return new Promise(() => {});
    const identity = user === null ? null : new one.Identity(user, `of ${user}`);
    return kind < 5 ? new Promise((resolve) => clock.setTimer(random(40) / 10, () => resolve(identity))) : identity;
  };
  const makeClient = (token) =>
    new one.Client('ws://host/', {
      token,
      logger: null,
      onError: () => {},
      WebSocket: HostileSocket,
      platform,
      protocol: new one.Json({ tokenPlace: new one.TokenQuery() }),
      reconnect: new one.ReconnectPolicy({ initial: 0.5, cap: 2 }),
    });
  const provider = new one.Provider(makeClient, { auth, platform, notices: new one.Notices() });
  const calls = [];
  const track = (name, promise) => {
    const call = { name, result: null };
    calls.push(call);
    promise.then(
      (result) => {
        call.result = result ?? 'done';
      },
      (error) => {
        call.result = error.name;
      },
    );
    return call;
  };
  const pass = async (seconds) => {
    for (let half = 0; half < 2 * seconds; half += 1) {
      clock.advance(0.5);
      await turn();
    }
  };
  provider.onChange(() => {
    if (random(40) === 0) track('logout() in a watcher', provider.logout());
    if (random(40) === 0) track('connectIfAuthenticated() in a watcher', provider.connectIfAuthenticated());
    if (random(60) === 0) throw new TypeError('of a watcher');
  });

  for (let step = 0; step < STEPS; step += 1) {
    const controller = new AbortController();
    const { signal } = controller;
    const what = random(9);
    if (what < 3) track('connectIfAuthenticated', provider.connectIfAuthenticated({ signal }));
    else if (what === 3) track('login', provider.login(null, { signal }));
    else if (what === 4) track('login', provider.login(new one.Identity((user = `user ${step}`), `of user ${step}`), { signal }));
    else if (what === 5) user = random(3) ? `user ${step}` : null;
    else if (what === 6) track('logout', provider.logout());
    if (random(5) === 0) controller.abort(new TypeError('withdrawn'));
    if (random(5) === 0) setImmediate(() => controller.abort(new TypeError('withdrawn')));
    if (random(2)) clock.advance(random(30) / 10);
    if (random(2)) await turn();
  }
  track('logout', provider.logout());
  await pass(40);
  if (provider.status.isHeld && sockets.some(({ readyState }) => readyState < 2)) problems.push('a socket is open after a logout');
  user = 'the last';
  const last = track('login', provider.login(new one.Identity(user, 'of the last')));
  await pass(40);
  const strangers = sockets.filter(({ readyState, url }) => readyState === 1 && !url.endsWith('of+the+last'));
  if (last.result === 'opened' && strangers.length > 0) problems.push(`a socket is ${strangers[0].url}`);
  track('close', provider.close());
  await pass(40);
  for (const { name, result } of calls) if (result === null) problems.push(`${name} hangs`);
  if (sockets.some(({ readyState }) => readyState < 2)) problems.push('a socket is open after close()');
  if (clock.size > 0) problems.push(`${clock.size} timers are left`);
  return problems;
}

await runLives(live);
