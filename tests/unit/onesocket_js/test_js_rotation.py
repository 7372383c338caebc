"""Rotations in JavaScript, in virtual time: the test is the server."""

import pytest

from tests.support.node_page import NodePage

SET_UP = """
kept.begin = async (rotation = {}, protocol = {}, options = {}) => {
  Object.assign(kept, make({
    rotation: new one.Rotation({identity: ({n}) => n, overlap: 1, ...rotation}),
    protocol: new one.Json({event: 'type', ...protocol}),
    ...options,
  }));
  kept.changes = [];
  kept.client.onChange((change) => kept.changes.push([change.old, change.new, change.epoch]));
  await kept.open();
  kept.numbers = () => kept.seen.map((item) => item.n ?? item);
};
/** Lets the successor be opened, and returns its socket. */
kept.successor = async () => {
  await turn();
  kept.sockets.at(-1).open();
  await turn();
  return kept.sockets.at(-1);
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP)
    return page


async def test_each_message_comes_once_and_in_order_from_whichever_brings_it(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin();
        const [old] = kept.sockets;
        const rotating = nameOf(kept.client.rotate());
        const joining = nameOf(kept.client.rotate());
        old.receive({n: 1}, {n: 2});
        const next = await kept.successor();
        next.receive({n: 2}, {n: 3}, {n: 4}, {note: 'hello'}); // 2 is behind, 3 and 4 are ahead
        kept.client.sendNowait({n: 'on the old one'});
        old.receive({n: 3});
        kept.clock.advance(1);
        next.receive({n: 5});
        old.receive({n: 4}, {n: 5}, {n: 6});
        next.receive({n: 6}, {n: 7});
        kept.client.sendNowait({n: 'on the new one'});
        const before = await stateOf(rotating);
        old.closed(1000);
        next.receive({n: 8});
        return {
          numbers: kept.seen.map((item) => item.n ?? item.note), before, outcomes: [await rotating, await joining],
          sent: [old.sent.length, next.sent.length], closes: [old.closes, next.closes], changes: kept.changes.at(-1),
          stats: [kept.client.stats.gaps, kept.client.status.epoch, kept.sockets.length],
        };
        """
    ) == {
        "numbers": [1, 2, 3, 4, "hello", 5, 6, 7, 8],
        "before": "pending",
        "outcomes": ["opened", "joined"],
        "sent": [1, 1],
        "closes": [[[1000, ""]], []],
        "changes": ["connected", "connected", 2],
        "stats": [0, 2, 2],
    }


async def test_a_connection_that_lags_behind_is_replaced_only_once_it_has_caught_up(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin({}, {}, {openTimeout: 5});
        const [old] = kept.sockets;
        const rotating = kept.client.rotate();
        const next = await kept.successor();
        next.receive({n: 1}, {n: 2});
        kept.clock.advance(2);
        const early = kept.client.status.epoch;
        old.receive({n: -1}, {n: 0}, {n: 1}); // it has brought what came before
        kept.clock.advance(1);
        old.closed(1000);
        await rotating;
        const first = [early, kept.client.status.epoch, kept.numbers()];
        const failing = nameOf(kept.client.rotate());
        const third = await kept.successor();
        third.receive({n: 3});
        kept.clock.advance(20);
        third.closed(1000);
        await turn();
        next.receive({n: 3}, {n: 4});
        return [...first, await failing, kept.client.status.epoch, kept.numbers(), kept.client.stats.gaps];
        """
    ) == [1, 2, [-1, 0, 1, 2], "OpenTimeout", 2, [-1, 0, 1, 2, 3, 4], 0]


async def test_the_successor_is_subscribed_and_answered_before_it_takes_over(page: NodePage) -> None:
    assert await page.run(
        """
        const subscriptions = new one.Subscriptions({
          subscribe: (keys) => ({subscribe: keys}), unsubscribe: (keys) => ({unsubscribe: keys}), key: ({key}) => key,
          ack: (message) => message.ack && new one.SubscriptionAnswer(message.ack, {refused: message.refused}),
        });
        await kept.begin({}, {subscriptions, onReady: () => [{hello: 1}]});
        const [old] = kept.sockets;
        const texts = (socket) => socket.sent.map((text) => JSON.parse(text));
        kept.client.on(() => {}, {keys: ['a', 'b']});
        await turn();
        old.receive({ack: ['a', 'b']});
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        const asked = texts(next);
        kept.clock.advance(1);
        const unanswered = kept.client.status.epoch;
        next.receive({ack: ['a', 'b']});
        await turn();
        kept.clock.advance(0.5);
        kept.client.on(() => {}, {keys: ['c']}); // it is wanted meanwhile, on both
        await turn();
        next.receive({ack: ['c']});
        await turn();
        kept.clock.advance(0.9);
        const early = kept.client.status.epoch;
        kept.clock.advance(0.1);
        old.closed(1000);
        const outcome = await rotating;
        kept.client.on(() => {}, {keys: ['d']});
        await turn();
        return [asked, unanswered, early, outcome, texts(old), texts(next)];
        """
    ) == [
        [{"subscribe": ["a", "b"]}, {"hello": 1}],
        1,
        1,
        "opened",
        [{"hello": 1}, {"subscribe": ["a", "b"]}, {"subscribe": ["c"]}],
        [{"subscribe": ["a", "b"]}, {"hello": 1}, {"subscribe": ["c"]}, {"subscribe": ["d"]}],
    ]


async def test_requests_and_messages_of_the_old_connection_are_settled_there(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin({}, {requests: new one.Requests()});
        const [old] = kept.sockets;
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        const answered = kept.client.request({q: 1});
        const lost = nameOf(kept.client.request({q: 2}));
        const again = kept.client.request({q: 3}, {resend: true});
        old.bufferedAmount = 10; // it is still being written
        const unknown = nameOf(kept.client.send({n: 1}));
        kept.clock.advance(1);
        const late = kept.client.request({q: 4});
        old.receive({id: 1, a: 1});
        old.closed(1006);
        await turn();
        const sent = next.sent.map((text) => JSON.parse(text));
        for (const {id} of sent) next.receive({id, a: id});
        return [await rotating, await answered, await lost, await again, await late, await unknown, sent];
        """
    ) == [
        "opened",
        {"id": 1, "a": 1},
        "RequestLost",
        {"id": 5, "a": 5},
        {"id": 4, "a": 4},
        "DeliveryUnknown",
        [{"q": 4, "id": 4}, {"q": 3, "id": 5}],
    ]


async def test_a_loss_before_the_successor_has_caught_up_is_a_gap(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin();
        const [old] = kept.sockets;
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        old.receive({n: 1});
        next.receive({n: 3});
        old.closed(1006);
        await turn();
        next.receive({n: 4});
        return [kept.numbers(), await rotating, kept.client.status.epoch, kept.client.stats.gaps, kept.sockets.length];
        """
    ) == [[1, "reconnected", 3, 4], "opened", 2, 1, 2]


async def test_a_successor_that_is_refused_leaves_the_connection_as_it_is(page: NodePage) -> None:
    assert await page.run(
        """
        const texts = [];
        const logger = {warn: (text) => texts.push(text), info: () => {}, error: () => {}};
        await kept.begin({age: 100, retry: 7}, {}, {logger});
        const [old] = kept.sockets;
        kept.clock.advance(99.9);
        await turn();
        const early = kept.sockets.length;
        kept.clock.advance(0.1);
        await turn();
        kept.sockets[1].closed(1006);
        await turn();
        kept.clock.advance(6.9);
        await turn();
        const between = kept.sockets.length;
        kept.clock.advance(0.2);
        const third = await kept.successor();
        const failing = nameOf(kept.client.rotate());
        third.closed(4001, 'no');
        await turn();
        old.receive({n: 1});
        const {epoch} = kept.client.status;
        return [early, between, kept.sockets.length, await failing, kept.numbers(), texts.length, epoch];
        """
    ) == [1, 2, 3, "ClosedByPeer", [1], 2, 1]


async def test_an_announced_close_is_come_before(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin({announced: ({type}) => type === 'bye'});
        const [old] = kept.sockets;
        old.receive({n: 1}, {type: 'bye'}, {n: 2});
        kept.clock.advance(0);
        const next = await kept.successor();
        next.receive({n: 3});
        old.receive({n: 3});
        kept.clock.advance(1);
        old.closed(1000);
        next.receive({n: 4});
        return [kept.numbers().filter((n) => !n.type), kept.client.stats.gaps];
        """
    ) == [[1, 2, 3, 4], 0]


async def test_where_the_server_allows_one_connection_the_first_is_closed_first(page: NodePage) -> None:
    assert await page.run(
        """
        const run = async (closeFirst) => {
          await kept.begin({closeFirst}, {ghostSeconds: 0.1});
          const [old] = kept.sockets;
          const rotating = nameOf(kept.client.rotate());
          const next = await kept.successor();
          next.closed(1008, 'connection limit exceeded');
          await turn();
          if (closeFirst) {
            old.closed(1000);
            await turn();
            (await kept.successor()).receive({n: 1});
          }
          return [await rotating, kept.client.status.epoch, kept.client.stats.gaps, old.closes.length];
        };
        return [await run(true), await run(false)];
        """
    ) == [["opened", 3, 1, 1], ["ServerBusy", 1, 0, 0]]


async def test_a_close_ends_both_connections_and_leaves_no_timer(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin({age: 50});
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        const closing = kept.client.close();
        const closes = kept.sockets.map((socket) => socket.closes.length);
        for (const socket of kept.sockets) socket.closed(1000);
        await closing;
        return [closes, await rotating, kept.clock.size, kept.sockets.length];
        """
    ) == [[1, 1], "ClientClosed", 0, 2]


async def test_the_successor_logs_in_and_has_heartbeats_of_its_own(page: NodePage) -> None:
    assert await page.run(
        """
        const login = new one.Login({request: (token) => ({token}), ready: ({ok}) => ok});
        const heartbeat = new one.Heartbeat({message: {ping: 1}, interval: 5});
        let tokens = 0;
        const token = () => `token ${tokens += 1}`;
        const opening = kept.begin({}, {login, heartbeat}, {token});
        await turn();
        const logIn = () => kept.sockets.at(-1).receive({ok: true});
        logIn();
        await opening;
        kept.clock.advance(5);
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        kept.sockets[0].receive({ok: true}); // an ordinary message by now
        logIn();
        kept.clock.advance(1);
        kept.sockets[0].closed(1000);
        kept.clock.advance(5);
        return [await rotating, kept.sockets.map(({sent}) => sent.map((text) => JSON.parse(text)))];
        """
    ) == ["opened", [[{"token": "token 1"}, {"ping": 1}], [{"token": "token 2"}, {"ping": 1}]]]


async def test_what_cannot_rotate_is_refused(page: NodePage) -> None:
    assert await page.run(
        """
        const identity = () => null;
        const of = (call) => { try { call(); return 'fine'; } catch ({name}) { return name; } };
        const client = (options) => () => new one.Client('ws://host/', options);
        class Own extends one.Protocol {}
        class Handling extends one.Json { received() { return []; } }
        class Complete extends Handling { successor() { return new Complete(); } }
        return [
          of(() => new one.Rotation()), of(() => new one.Rotation({identity, age: 0})),
          of(() => new one.Rotation({identity, ag: 1})),
          of(client({rotation: {identity}})), of(client({rotation: new one.Rotation({identity}), protocol: new Own()})),
          of(client({rotation: new one.Rotation({identity}), protocol: new Handling()})),
          of(client({rotation: new one.Rotation({identity}), protocol: new Complete()})),
          await nameOf(client({})().rotate()),
        ];
        """
    ) == [*["InvalidOption"] * 6, "fine", "UsageError"]


async def test_messages_wait_for_room_on_the_successor_as_on_any_connection(page: NodePage) -> None:
    assert await page.run(
        """
        await kept.begin();
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        kept.clock.advance(1);
        kept.sockets[0].closed(1000);
        await rotating;
        next.bufferedAmount = 1 << 20;
        const sending = kept.client.sendNowait({n: 1});
        const waiting = next.sent.length;
        next.bufferedAmount = 0;
        kept.clock.advance(1);
        return [waiting, next.sent.length, sending.done];
        """
    ) == [0, 1, True]


async def test_answers_of_the_successor_are_heard_after_a_loss_too(page: NodePage) -> None:
    assert await page.run(
        """
        const requests = new one.Requests({refused: ({error}) => error});
        const subscriptions = new one.Subscriptions({
          subscribe: ([key]) => ({subscribe: key}), unsubscribe: ([key]) => ({unsubscribe: key}), key: ({key}) => key,
          batch: 1, requests: true,
        });
        await kept.begin({}, {requests, subscriptions});
        const [old] = kept.sockets;
        kept.client.on(() => {}, {keys: ['a']});
        await turn();
        old.receive({id: JSON.parse(old.sent[0]).id});
        const rotating = nameOf(kept.client.rotate());
        const next = await kept.successor();
        old.closed(1006);
        await turn();
        next.receive({id: JSON.parse(next.sent[0]).id, error: 'no more'});
        return [await rotating, kept.errors.map(({name, keys}) => [name, keys]), kept.seen];
        """
    ) == ["opened", [["SubscriptionRefused", ["a"]]], ["reconnected"]]
