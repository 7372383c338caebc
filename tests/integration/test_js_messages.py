"""Messages of the JavaScript client: fates, the order on a new connection, requests, logins, heartbeats, gaps."""

import asyncio
import json
from typing import Any

import pytest

from onesocket.testing import Fault, FaultyServer
from tests.support.node_page import NodePage

BIG = 40 << 20
"""Bytes: more than the kernel takes on a connection that isn't read."""


# --- fates -----------------------------------------------------------------------------------------------------------


async def test_messages_wait_for_the_connection_in_order(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    await page.run("kept.sent = [1, 2, 3].map((each) => kept.client.send(String(each)))")
    assert await page.run("return kept.client.status.outbox") == 3
    await page.run("await kept.client.connect(); await Promise.all(kept.sent); await kept.client.send('4')")
    await server.wait_until(lambda counts: counts.messages_received == 4)
    assert server.received == ["1", "2", "3", "4"]


async def test_a_message_that_waits_too_long_expires_and_a_full_outbox_refuses(
    page: NodePage, server: FaultyServer
) -> None:
    await page.make_client(server.url, "outbox: new one.OutboxLimits({messages: 2, age: 300})", has_clock=True)
    assert await page.run(
        """
        const first = nameOf(kept.client.sendNowait('a'));
        const second = kept.client.sendNowait('b');
        const third = await nameOf(kept.client.send('c'));
        kept.clock.advance(300);
        return [await first, third, kept.client.status.outbox, kept.errors.map((error) => error.name)];
        """
    ) == ["MessageExpired", "OutboxFull", 0, ["MessageExpired"]]  # the second one was never awaited
    await page.make_client(server.url, "outbox: null")
    assert await page.run("return nameOf(kept.client.send('a'))") == "OutboxFull"
    assert server.counts.tcp_accepted == 0


async def test_a_disconnect_tells_the_senders(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    assert await page.run(
        """
        const waiting = nameOf(kept.client.send('a'));
        await kept.client.disconnect();
        const refused = await nameOf(kept.client.send('b'));
        const closed = nameOf(kept.client.close()).then(() => nameOf(kept.client.send('c')));
        return [await waiting, refused, await closed];
        """
    ) == ["ManuallyDisconnected", "ManuallyDisconnected", "ClientClosed"]
    assert server.received == []


async def test_a_message_in_writing_when_the_connection_is_lost_is_unknown(
    page: NodePage, server: FaultyServer
) -> None:
    server.faults = [Fault.stop_reading()]
    server.max_size = 2 * BIG
    await page.make_client(server.url)
    await page.run(
        """
        await kept.client.connect();
        kept.unknown = nameOf(kept.client.send('x'.repeat(data)));
        kept.waiting = kept.client.send('waiting');
        """,
        BIG,
    )
    server.kill_connections()
    assert await page.run("return kept.unknown") == "DeliveryUnknown"
    await page.run("await kept.waiting")
    await server.wait_until(lambda counts: counts.messages_received == 1)
    assert server.received == ["waiting"]
    assert server.counts.upgraded == 2


async def test_what_may_have_arrived_is_sent_again_only_where_that_does_no_harm(
    page: NodePage, server: FaultyServer
) -> None:
    # A class of sockets that never tells that it has written what it has.
    stuck = "class extends WebSocket { get bufferedAmount() { return kept.isStuck ? 10 : super.bufferedAmount } }"
    await page.make_client(server.url, f"WebSocket: {stuck}")
    await page.run(
        """
        kept.isStuck = true;
        kept.client.onChange((change) => { if (change.new === 'backing off') kept.isStuck = false });
        await kept.client.connect();
        kept.unknown = nameOf(kept.client.send('unknown'));
        kept.again = nameOf(kept.client.send('again', {resend: true}));
        """
    )
    await server.wait_until(lambda counts: counts.messages_received == 2)
    server.kill_connections()
    assert await page.run("return Promise.all([kept.unknown, kept.again])") == ["DeliveryUnknown", "done"]
    await server.wait_until(lambda counts: counts.messages_received == 3)
    assert server.received == ["unknown", "again", "again"]


async def test_close_takes_along_what_was_sent(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    await page.run(
        "await kept.client.connect(); kept.sent = kept.client.send('last'); await kept.client.close(); await kept.sent"
    )
    assert server.received == ["last"]


async def test_on_a_new_connection_first_frames_go_before_those_of_watchers_and_what_waited(
    page: NodePage, server: FaultyServer
) -> None:
    await page.make_client(server.url, "protocol: new one.Json({onReady: () => ['subscribe']})")
    await page.run(
        """
        kept.client.onChange((change) => change.new === 'connected' && kept.client.sendNowait('watcher'));
        kept.client.sendNowait('waited');
        await kept.client.connect();
        """
    )
    await server.wait_until(lambda counts: counts.messages_received == 3)
    server.kill_connections()
    await server.wait_until(lambda counts: counts.messages_received == 5)
    assert [json.loads(text) for text in server.received] == ["subscribe", "watcher", "waited", "subscribe", "watcher"]


async def test_a_pace_holds_messages_back(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, "protocol: new one.Raw({pace: new one.Pace(2, {per: 60})})", has_clock=True)
    await page.run("await kept.client.connect(); for (const each of '12345') kept.client.sendNowait(each)")
    for count in (2, 4, 5):
        await server.wait_until(lambda counts, count=count: counts.messages_received == count)  # type: ignore[misc]
        await page.run("kept.clock.advance(59.9)")
        assert len(server.received) == count
        await page.run("kept.clock.advance(0.1)")
    assert server.received == [*"12345"]


# --- requests --------------------------------------------------------------------------------------------------------

REQUESTS = "protocol: new one.Json({requests: new one.Requests({id: 'req', refused: (answer) => answer.no})})"


async def test_answers_find_their_requests(page: NodePage, server: FaultyServer) -> None:
    asked: list[Any] = []

    async def reverse_pairs(connection: Any) -> None:
        async for text in connection:
            asked.append(json.loads(text))
            if len(asked) == 3:
                for message in reversed(asked):
                    answer = {"no": "never"} if message["op"] == "bad" else {"answer": message["op"]}
                    await connection.send(json.dumps({**answer, "req": message["req"]}))
                await connection.send(json.dumps({"news": 1}))

    server.handler, server.echo = reverse_pairs, False
    await page.make_client(server.url, REQUESTS)
    answers = await page.run(
        """
        const {client} = kept;
        await client.connect();
        const asked = [{op: 'a', req: 7}, {op: 'b', req: 7}, {op: 'bad'}].map((each) => client.request(each));
        return Promise.all(asked.map((each) => each.catch((error) => [error.name, error.message, error.answer])));
        """
    )
    assert answers == [
        {"answer": "a", "req": 7},
        {"answer": "b", "req": 7},
        ["RequestRefused", "the request was refused: never", {"no": "never", "req": 3}],
    ]
    assert [message["req"] for message in asked] == [1, 2, 3]
    await page.run("while (kept.seen.length === 0) await new Promise(setImmediate)")
    assert await page.run("return kept.seen") == [{"news": 1}]


async def test_a_request_without_an_answer_ends(page: NodePage, server: FaultyServer) -> None:
    server.echo = False
    await page.make_client(server.url, REQUESTS)
    assert await page.run(
        "return kept.client.request({op: 'a'}, {timeout: 0.01}).catch((error) => [error.name, error.wasSent])"
    ) == ["RequestTimeout", False]
    assert await page.run(
        """
        const {client} = kept;
        await client.connect();
        const controller = new AbortController();
        const sent = client.request({op: 'b'}, {timeout: 0.03}).catch((error) => [error.name, error.wasSent]);
        const withdrawn = nameOf(client.request({op: 'c'}, {signal: controller.signal}));
        controller.abort(new TypeError('withdrawn'));
        const result = [await sent, await withdrawn, await nameOf(client.request('no object'))];
        return result;
        """
    ) == [["RequestTimeout", True], "TypeError", "UsageError"]
    await server.wait_until(lambda counts: counts.messages_received == 2)
    lost = page.start("return nameOf(kept.client.request({op: 'd'}))")
    again = page.start("return kept.client.request({op: 'e', req: 'mine'}, {resend: true})")
    await server.wait_until(lambda counts: counts.messages_received == 4)
    server.echo = True
    server.kill_connections()
    assert await lost == "RequestLost"
    assert await again == {"op": "e", "req": "mine"}
    assert [json.loads(text)["op"] for text in server.received] == ["b", "c", "d", "e", "e"]
    numbers = [json.loads(text)["req"] for text in server.received]
    assert len(set(numbers)) == 5


# --- logins and heartbeats -------------------------------------------------------------------------------------------

LOGIN = """protocol: new one.Json({login: new one.Login({
    request: (token) => ({login: token}),
    ready: (message) => message.ok === true,
    refused: (message) => message.refused,
})}), token: 's3cret'"""


@pytest.mark.parametrize(("answer", "result"), [("ok", "opened"), ("refused", "LoginRefused"), (None, "OpenTimeout")])
async def test_connected_means_logged_in(page: NodePage, server: FaultyServer, answer: str | None, result: str) -> None:
    server.on_message = lambda _connection, _text: None if answer is None else json.dumps({answer: True})
    await page.make_client(server.url, LOGIN, has_clock=True)
    connecting = page.start("return nameOf(kept.client.connect())")
    await server.wait_until(lambda counts: counts.messages_received == 1)
    if answer is None:
        await page.run("kept.clock.advance(10)")
    assert await connecting == result
    assert server.received == ['{"login":"s3cret"}']
    if result == "OpenTimeout":
        assert "still logging in" in (await page.run("return kept.client.status.lastError"))["text"]


async def test_a_peer_that_answers_no_heartbeat_is_replaced(page: NodePage, server: FaultyServer) -> None:
    server.on_message = lambda _connection, _text: json.dumps({"pong": 1}) if len(server.received) < 3 else None
    server.echo = False
    heartbeat = "message: {ping: 1}, interval: 20, timeout: 10, answer: (message) => message.pong"
    protocol = f"protocol: new one.Json({{heartbeat: new one.Heartbeat({{{heartbeat}}})}})"
    await page.make_client(server.url, protocol, has_clock=True)
    await page.run("await kept.client.connect()")
    for count in (1, 2, 3):
        await page.run("kept.clock.advance(20)")
        await server.wait_until(lambda counts, count=count: counts.messages_received == count)  # type: ignore[misc]
        await page.run("while (kept.client.stats.received < data) await new Promise(setImmediate)", min(count, 2))
    await page.run("kept.clock.advance(9.9)")
    assert await page.run("return kept.client.state") == "connected"
    await page.run("kept.clock.advance(0.1); await kept.client.waitFor('backing off'); kept.clock.advance(0)")
    await page.run("await kept.client.waitFor('connected')")
    assert (await page.run("return kept.client.status.lastLoss"))["error"] == "PingTimeout"
    assert await page.run("return kept.seen.filter((item) => item.pong).length") == 0
    assert (server.counts.upgraded, server.counts.most_open) == (2, 1)


async def test_a_heartbeat_of_the_peer_is_answered(page: NodePage, server: FaultyServer) -> None:
    server.echo = False
    reply = "reply: (message) => message.ping === undefined ? null : {pong: message.ping}"
    await page.make_client(server.url, f"protocol: new one.Json({{heartbeat: new one.Heartbeat({{{reply}}})}})")
    await page.run("await kept.client.connect()")
    await server.send('{"ping":5}')
    await server.wait_until(lambda counts: counts.messages_received == 1)
    assert server.received == ['{"pong":5}']
    assert await page.run("return kept.seen") == []


# --- what is received ------------------------------------------------------------------------------------------------


async def test_what_cannot_be_decoded_is_a_gap_whose_error_shows_nothing(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, "protocol: new one.Json({event: 'type'})")
    await page.run("kept.stream = kept.client.subscribe('news'); await kept.client.connect()")
    await server.send("s3cret {")
    await server.send('{"type":"news","n":1}')
    gap, news = await page.run("return [(await kept.stream.next()).value, (await kept.stream.next()).value]")
    assert (gap["reason"], gap["missed"], gap["error"]["error"]) == ("undecodable", 1, "DecodeError")
    assert news == {"type": "news", "n": 1}
    assert "s3cret" not in json.dumps(gap)
    assert await page.run("return kept.seen[0].error.data") == "s3cret {"


async def test_bytes_go_both_ways(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    await page.run(
        """
        await kept.client.connect();
        await kept.client.send(new Uint8Array([0, 255]));
        while (kept.seen.length === 0) await new Promise(setImmediate);
        """
    )
    assert await page.run("return kept.seen") == [{"bytes": [0, 255]}]
    assert server.received == [b"\x00\xff"]


async def test_streams_end_with_the_client_and_by_leaving(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    assert await page.run(
        """
        const {client} = kept;
        const items = [];
        await client.connect();
        const all = (async () => { for await (const item of client.subscribe()) items.push(item); return 'over'; })();
        const states = (async () => {
          const seen = [];
          for await (const change of client.changes()) seen.push(change.new);
          return seen;
        })();
        const first = (async () => { for await (const item of client) { items.push(`first ${item}`); break; } })();
        await client.send('a');
        await first;
        const before = client.status.subscribers;
        await client.close();
        return [await all, items.sort(), before, await states];
        """
    ) == ["over", ["a", "first a"], 2, ["closing", "closed"]]


async def test_many_messages_come_in_order(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    await page.run("await kept.client.connect()")
    asyncio.get_running_loop().call_soon(
        page.start, "await Promise.all(Array.from({length: 2000}, (_, n) => kept.client.send(String(n))))"
    )
    await server.wait_until(lambda counts: counts.messages_sent == 2000)
    await page.run("while (kept.seen.length < 2000) await new Promise(setImmediate)")
    assert await page.run("return kept.seen") == [str(number) for number in range(2000)]
