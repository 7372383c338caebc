"""Streams of answers of the JavaScript client and of its tabs: their ends, losses and stops."""

import pytest

from tests.support.node_page import NodePage

SET_UP = """
kept.protocol = () => new one.Json({tokenPlace: new one.TokenQuery(), requests: new one.Requests({
  refused: ({error}) => error, last: ({done}) => done, stop: ({id}) => ({stop: id}),
})});
kept.sent = (socket) => socket.sent.splice(0).map((text) => JSON.parse(text));
kept.read = async (stream, count) => {
  const items = [];
  for (let each = 0; each < count; each += 1) {
    const next = stream.next().then(({value, done}) => (done ? 'end' : value.reason ?? value));
    items.push(await stateOf(next));
  }
  return items;
};
"""


@pytest.fixture
async def page(page: NodePage) -> NodePage:
    """A page with the functions of `SET_UP` in `kept`."""
    await page.run(SET_UP)
    return page


async def test_a_stream_has_the_answers_until_the_last_one_with_the_id_of_its_caller(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, seen} = make({protocol: kept.protocol()});
        await open();
        const [first, second] = [client.requestStream({op: 'a', id: 'mine'}), client.requestStream({op: 'b'})];
        const sent = kept.sent(sockets[0]);
        sockets[0].receive({id: 1, n: 1}, {id: 2, n: 2}, {id: 1, n: 3});
        sockets[0].receive({id: 1, done: true}, {id: 1, n: 4}, {id: 2, error: 'no'});
        return [sent, await kept.read(first, 3), await kept.read(second, 3), seen];
        """
    ) == [
        [{"op": "a", "id": 1}, {"op": "b", "id": 2}],
        [{"id": "mine", "n": 1}, {"id": "mine", "n": 3}, "end"],
        [{"id": 2, "n": 2}, "RequestRefused", "end"],
        [{"id": 1, "n": 4}],
    ]


async def test_a_stream_that_is_left_is_stopped_once(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, seen} = make({protocol: kept.protocol()});
        await open();
        const stream = client.requestStream({});
        sockets[0].receive({id: 1});
        for await (const answer of stream) break;
        stream.close();
        sockets[0].receive({id: 1, n: 'late'}, {id: 1, n: 'later'});
        const full = client.requestStream({}, {limit: 1});
        sockets[0].receive({id: 2}, {id: 2}, {id: 2});
        const ends = await kept.read(full, 3);
        return [kept.sent(sockets[0]), seen, ends.slice(1), client.stats.lateAnswers];
        """
    ) == [[{"id": 1}, {"stop": 1}, {"id": 2}, {"stop": 2}], [], ["SlowConsumer", "end"], 3]


async def test_a_loss_ends_a_stream_or_has_it_asked_for_again_with_a_gap(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open, pass} = make({
          protocol: kept.protocol(),
          outbox: new one.OutboxLimits({age: 1}),
          reconnect: new one.ReconnectPolicy({initial: 8}),
        });
        const late = client.requestStream({op: 'waits'}, {resend: true}); // no age ends it
        const short = client.requestStream({op: 'expires'});
        await pass(4);
        const expired = await kept.read(short, 1);
        await open();
        const once = client.requestStream({op: 'once'});
        await pass(1);
        sockets[0].receive({id: 1, n: 1});
        sockets[0].closed();
        await pass(1);
        sockets[1].open();
        sockets[1].receive({id: 3, n: 2});
        const again = kept.sent(sockets[1]);
        const [items, ends] = [await kept.read(late, 3), await kept.read(once, 2)];
        late.close();
        sockets[1].closed();
        await pass(6);
        sockets[2].open();
        return [expired, again, items, ends, kept.sent(sockets[2])];
        """
    ) == [
        ["MessageExpired"],
        [{"op": "waits", "id": 3}],
        [{"id": 1, "n": 1}, "reconnected", {"id": 3, "n": 2}],
        ["RequestLost", "end"],
        [],
    ]


async def test_a_stream_that_was_not_sent_is_withdrawn(page: NodePage) -> None:
    assert await page.run(
        """
        const {client, sockets, open} = make({protocol: kept.protocol()});
        client.requestStream({}).close();
        const waiting = client.requestStream({});
        await open();
        const name = (call) => { try { call(); } catch (error) { return error.name; } };
        const sent = kept.sent(sockets[0]);
        const closing = client.close();
        sockets[0].closed(1000);
        await closing;
        const names = [client, make().client].map((each) => name(() => each.requestStream({})));
        return [sent, await kept.read(waiting, 2), ...names];
        """
    ) == [[{"id": 1}], ["RequestLost", "end"], "ClientClosed", "InvalidOption"]


async def test_tabs_have_streams_that_outlast_the_tab_with_the_connection(page: NodePage) -> None:
    assert await page.run(
        """
        let made;
        globalThis.makeShared = (token) => (made = make({token, protocol: kept.protocol()})).client;
        const module = 'data:text/javascript,export default (token) => globalThis.makeShared(token);';
        const [leading, tab] = [1, 2].map(() => one.join(module, {worker: null}));
        const until = async (isSo) => { while (!isSo()) await turn(); };
        const again = tab.requestStream({op: 'again'}, {resend: true});
        const once = tab.requestStream({op: 'once', id: 'mine'});
        const left = tab.requestStream({op: 'left'});
        const connecting = tab.connect();
        await until(() => made?.sockets[0]);
        made.sockets[0].open();
        await connecting;
        await until(() => made.sockets[0].sent.length === 3);
        made.sockets[0].receive({id: 1, n: 1}, {id: 2, n: 2}, {id: 3, n: 3});
        for await (const answer of left) break;
        await until(() => made.sockets[0].sent.length === 4);
        const sent = kept.sent(made.sockets[0]);
        const items = [(await again.next()).value, (await once.next()).value];
        const first = made;
        const closing = leading.close();
        first.sockets[0].closed(1000);
        await closing;
        await until(() => made !== first && made.sockets[0]);
        made.sockets[0].open();
        await until(() => made.sockets[0].sent.length === 1);
        made.sockets[0].receive({id: 1, n: 4}, {id: 1, done: true});
        const rest = [];
        for await (const item of again) rest.push(item.reason ?? item.n);
        return [sent, items, await nameOf(once.next()), rest];
        """
    ) == [
        [{"op": "again", "id": 1}, {"op": "once", "id": 2}, {"op": "left", "id": 3}, {"stop": 3}],
        [{"id": 1, "n": 1}, {"id": "mine", "n": 2}],
        "RequestLost",
        ["reconnected", 4],
    ]
