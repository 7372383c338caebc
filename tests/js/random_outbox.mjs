// Plays random lives of pages with one durable outbox, each of which ends without a word, by a seed; prints what was found.

import * as one from '../../packages/onesocket-js/src/index.js';
import { makeClient, turn } from './fake_socket.mjs';
import { FakeStore } from './fake_store.mjs';

const LIVES = 40;
const MOST_STEPS = 120;
const CRASHED = /the message with the id (\d+) was sent by an earlier page/;

let state = Number(process.argv[2]) * 7919 + 1;
const below = (count) => (state = (state * 48271) % 2147483647) % count;
const fails = () => new Error('now and then');
const store = new FakeStore();
const acknowledges = new one.Acknowledgement({ idOf: ({ id }) => id, acknowledgedBy: ({ ack }) => ack });
/** By id: whether it may be sent again. */
const accepted = new Map();
const arrived = [];
const unknown = new Set();
const refusals = new Set();
let ids = 0;

const idsOf = ({ sent }) => sent.map((text) => JSON.parse(text).id);
const makePage = () =>
  makeClient(one, {
    protocol: new one.Json({ acknowledges }),
    reconnect: new one.ReconnectPolicy({ initial: 0.1, cap: 0.1 }),
    outbox: new one.DurableOutbox('orders', { store }),
  });

function note({ sockets, errors }) {
  for (const socket of sockets) arrived.push(...idsOf(socket));
  for (const { message } of errors) if (CRASHED.test(message)) unknown.add(Number(CRASHED.exec(message)[1]));
}

/** Sends a message with the next id. */
function send(life) {
  ids += 1;
  const [id, resend] = [ids, below(2) === 0];
  life.page.client.send({ id }, { resend }).then(
    () => life.isOn && accepted.set(id, resend),
    ({ name }) => refusals.add(name),
  );
}

function step(life) {
  const { page } = life;
  const socket = page.sockets.at(-1);
  const isOpen = socket?.readyState === 1;
  switch (below(7)) {
    case 0:
    case 1:
      send(life);
      break;
    case 2:
      store.release(1);
      break;
    case 3:
      if (socket?.readyState === 0) socket.open();
      break;
    case 4:
      if (isOpen && below(4) === 0) socket.closed();
      break;
    case 5:
      if (isOpen && socket.sent.length > 0) socket.receive({ ack: idsOf(socket)[below(socket.sent.length)] });
      break;
    default:
      page.clock.advance(0.5);
  }
}

for (let each = 0; each < LIVES; each += 1) {
  const life = { page: makePage(), isOn: true };
  life.page.client.connect({ retry: true }).catch(() => {});
  for (let steps = below(MOST_STEPS); steps > 0; steps -= 1) {
    store.holds = below(3) > 0;
    store.fails = below(8) === 0 ? fails : () => null;
    step(life);
    await turn();
  }
  life.isOn = false;
  note(life.page);
  store.crash();
}
store.fails = () => null;
const last = makePage();
const connecting = last.client.connect();
for (let each = 0; each < 20; each += 1) await turn();
last.sockets[0].open();
await connecting;
while (last.client.status.outbox > 0 || store.rows.size > 0) {
  await last.pass(1);
  for (const id of idsOf(last.sockets[0])) last.sockets[0].receive({ ack: id });
}
note(last);

const counts = new Map();
for (const id of arrived) counts.set(id, (counts.get(id) ?? 0) + 1);
const firsts = [...counts.keys()];
console.log(
  JSON.stringify({
    lost: [...accepted].filter(([id, resend]) => !counts.has(id) && (resend || !unknown.has(id))),
    twice: [...counts].filter(([id, count]) => count > 1 && accepted.get(id) === false),
    outOfOrder: firsts.filter((id, at) => at > 0 && firsts[at - 1] > id),
    mostAtOnce: store.mostAtOnce,
    refusals: [...refusals],
    hasTraffic: accepted.size > 100 && unknown.size > 0,
  }),
);
process.exit(0);
