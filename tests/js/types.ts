// What a user's type checker sees: `tsc` reads this file, and nothing runs it.

import {
  Client,
  type Delivery,
  type Frame,
  type Gap,
  Identity,
  join,
  Json,
  LastValues,
  Login,
  Notices,
  Outcome,
  Provider,
  ReconnectPolicy,
  Requests,
  ServerBusy,
  State,
  type Subscription,
  SubscriptionAnswer,
  Subscriptions,
  TokenQuery,
  Verdict,
} from '../../packages/onesocket-js/types/index.js';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isTrue = <T extends true>(_value?: T): void => {};

interface Trade {
  type: 'trade';
  price: number;
}

const raw = new Client('wss://feed.example/');
isTrue<Same<ReturnType<typeof raw.sendNowait>, Delivery>>();
isTrue<Same<ReturnType<(typeof raw)[typeof Symbol.asyncIterator]>, Subscription<Frame | Gap>>>();

const protocol = new Json<Trade, { subscribe: string }>({
  event: 'type',
  login: new Login({ request: (token) => ({ token }), ready: (message) => message.ok }),
  onReady: () => [{ subscribe: 'AAPL' }],
  requests: new Requests({ id: 'req', last: (answer) => answer.done, stop: ({ req }) => ({ stop: req }) }),
  subscriptions: new Subscriptions<Trade>({
    subscribe: (keys) => ({ subscribe: keys.join() }),
    unsubscribe: (keys) => ({ unsubscribe: keys.join() }),
    key: (trade) => trade.price,
    ack: () => new SubscriptionAnswer(['AAPL'], { refused: 'no such symbol' }),
  }),
  snapshot: new LastValues<Trade>({ limit: 10 }),
});
const trades = new Client(async () => 'wss://feed.example/', {
  protocol,
  token: async (previous, error) => (error?.retryable ? previous : 'token'),
  reconnect: new ReconnectPolicy({
    first: true,
    verdict: (error) => (error instanceof ServerBusy ? Verdict.SLOW : null),
  }),
});
const all = trades.subscribe('trade', { overflow: 'drop_oldest' });
isTrue<Same<typeof all, Subscription<Trade | Gap>>>();
const sound = trades.subscribe(null, { gaps: false, where: (trade) => trade.price > 1 });
isTrue<Same<typeof sound, Subscription<Trade>>>();
const ofKeys = trades.subscribe(null, { keys: ['AAPL'] });
const answers = trades.requestStream({ subscribe: 'AAPL' }, { resend: true });
isTrue<Same<typeof answers, typeof ofKeys>>();
trades.on((trade) => trade.price, { keys: 'AAPL' });
trades.on('trade', (trade) => trade.price.toFixed(2));
trades.on((item) => ('reason' in item ? item.missed : item.price), { gaps: true });
trades.onChange((change) => change.new === State.CONNECTED);
const sent: Promise<void> = trades.send({ subscribe: 'MSFT' });
const outcome: Promise<Outcome> = trades.connect({ retry: true, signal: AbortSignal.timeout(1000) });

// @ts-expect-error - a message that the protocol doesn't send
trades.send({ unsubscribe: 'MSFT' });
// @ts-expect-error - a browser goes on reading
trades.subscribe(null, { overflow: 'wait' });
// @ts-expect-error - no such option
new Client('wss://feed.example/', { opentimeout: 3 });
// @ts-expect-error - no such state
void trades.waitFor('conected');

const provider = new Provider((token) => new Client('wss://feed.example/', { token, protocol: new Json({ tokenPlace: new TokenQuery() }) }), {
  auth: async () => new Identity('alice', 'token'),
  notices: new Notices(),
});
const client: Client<any, any> | null = provider.client;
const shared = join<Trade>(new URL('./feed.js', 'https://page.example/'), { token: async () => 'token' });
isTrue<Same<ReturnType<(typeof shared)[typeof Symbol.asyncIterator]>, Subscription<Trade | Gap>>>();
const bundled = join(async () => ({ default: () => trades }), { key: 'trades' });
isTrue<Same<ReturnType<(typeof bundled)[typeof Symbol.asyncIterator]>, Subscription<Trade | Gap>>>();
// @ts-expect-error - by what would tabs know what they share?
join(async () => ({ default: () => trades }));
async function useOnce(): Promise<void> {
  await using client = trades;
  await using tab = bundled;
  await using users = provider;
  await Promise.all([client.connect(), tab.connect(), users.connectIfAuthenticated()]);
}
const early: [Outcome, Delivery, number] = [shared.connectNowait(), shared.sendNowait('x'), shared.epoch];
const connected: Promise<State> = shared.waitFor(State.CONNECTED, { timeout: 1 });
const sharing = new Provider((token) => join('/feed.js', { token }), { auth: () => null });
// @ts-expect-error - no identity
void provider.login(5);

export { client, connected, early, useOnce, outcome, sent, sharing };
