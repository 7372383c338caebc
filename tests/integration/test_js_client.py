"""The JavaScript client in Node.js: one connection, its losses and its ends, as the server counts them."""

import asyncio
import json
from typing import Any

import pytest

from onesocket.testing import Fault, FaultyServer
from tests.support.node_page import NodePage


async def test_a_hundred_callers_share_one_attempt(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    outcomes = await page.run("return Promise.all(Array.from({length: 100}, () => kept.client.connect()))")
    assert outcomes == ["opened", *["joined"] * 99]
    assert await page.run("return kept.client.connect()") == "already connected"
    assert await page.run("return kept.client.connectNowait()") == "already connected"
    assert (server.counts.tcp_accepted, server.counts.most_open) == (1, 1)
    await page.run("await kept.client.close()")
    assert server.counts.close_codes == {1000: 1}


@pytest.mark.parametrize("seed", range(3))
async def test_there_are_never_two_in_any_interleaving(page: NodePage, server: FaultyServer, seed: int) -> None:
    await page.make_client(server.url)
    await page.run(
        """
        let number = data;
        const random = (count) => (number = (number * 48271 + 11) % 2147483647) % count;
        const calls = ['connect', 'connect', 'connect', 'reconnect', 'disconnect', 'reconnect'];
        const waiting = [];
        for (let step = 0; step < 200; step += 1) {
          const controller = new AbortController();
          waiting.push(nameOf(kept.client[calls[random(calls.length)]]({signal: controller.signal})));
          if (random(4) === 0) controller.abort(new Error('withdrawn'));
          if (random(3) === 0) await new Promise(setImmediate);
          if (random(8) === 0) await waiting.at(-1);
        }
        await Promise.all(waiting);
        await kept.client.close();
        """,
        seed + 1,
    )
    assert server.counts.most_sockets == 1
    assert server.counts.premature_closes == 0
    assert server.counts.open_now == 0
    assert server.counts.upgraded > 3


async def test_disconnect_waits_for_a_socket_that_is_being_opened(page: NodePage, server: FaultyServer) -> None:
    release = asyncio.Event()
    server.faults = [Fault.hold_upgrade(release)]
    await page.make_client(server.url)
    connecting = page.start("return nameOf(kept.client.connect())")
    await server.wait_until(lambda counts: counts.tcp_accepted == 1)
    closing = page.start("return nameOf(kept.client.disconnect())")
    assert await connecting == "ConnectAborted"
    assert not closing.done()
    release.set()
    assert await closing == "done"
    assert (server.counts.premature_closes, server.counts.close_codes) == (0, {1000: 1})
    assert await page.run("return nameOf(kept.client.connect())") == "ManuallyDisconnected"
    assert await page.run("return kept.client.reconnect()") == "opened"


async def test_a_caller_that_gives_up_harms_no_other_and_the_last_one_ends_the_attempt(
    page: NodePage, server: FaultyServer
) -> None:
    release = asyncio.Event()
    server.faults = [Fault.hold_upgrade(release), Fault.hold_upgrade(release)]
    await page.make_client(server.url)
    first = page.start(
        """
        const controller = new AbortController();
        const one_of_two = nameOf(kept.client.connect({signal: controller.signal}));
        kept.other = nameOf(kept.client.connect());
        controller.abort(new TypeError('withdrawn'));
        return one_of_two;
        """
    )
    assert await first == "TypeError"
    release.set()
    assert await page.run("return kept.other") == "joined"
    release.clear()
    await page.run("await kept.client.disconnect()")
    alone = page.start(
        """
        const controller = new AbortController();
        kept.withdraw = () => controller.abort(new TypeError('withdrawn'));
        return nameOf(kept.client.reconnect({signal: controller.signal}));
        """
    )
    await server.wait_until(lambda counts: counts.tcp_accepted == 2)
    await page.run("kept.withdraw()")
    assert await alone == "TypeError"
    release.set()
    assert await page.run("return kept.client.waitFor('disconnected')") == "disconnected"
    assert server.counts.close_codes == {1000: 2}


async def test_a_lost_connection_is_resumed_with_a_gap(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    await page.run("await kept.client.connect(); await kept.client.send('a')")
    await server.wait_until(lambda counts: counts.messages_sent == 1)
    server.kill_connections()
    await page.run("await kept.client.waitFor('backing off'); await kept.client.waitFor('connected')")
    await page.run("await kept.client.send('b'); while (kept.seen.length < 3) await new Promise(setImmediate)")
    seen = await page.run("return kept.seen")
    assert [seen[0], seen[2]] == ["a", "b"]
    assert (seen[1]["reason"], seen[1]["epoch"], seen[1]["error"]["error"]) == ("reconnected", 2, "ConnectionReset")
    status = await page.run("return kept.client.status")
    assert (status["state"], status["epoch"], status["lastLoss"]["error"]) == ("connected", 2, "ConnectionReset")
    assert server.counts.most_open == 1
    assert (await page.run("return kept.client.stats"))["gaps"] == 1


async def test_a_first_connect_is_one_attempt_unless_it_is_to_be_retried(page: NodePage, server: FaultyServer) -> None:
    server.faults = [Fault.refuse(503), Fault.refuse(503)]
    await page.make_client(server.url)
    error = await page.run("return kept.client.connect().catch((error) => error)")
    assert (error["error"], error["retryable"]) == ("ConnectFailed", True)
    assert await page.run("return kept.client.state") == "failed"
    assert server.counts.tcp_accepted == 1
    assert await page.run("return kept.client.connect({retry: true})") == "opened"
    assert server.counts.upgraded == 1


async def test_a_failed_attempt_is_the_end_for_those_alone_that_wait_for_no_other(
    page: NodePage, server: FaultyServer
) -> None:
    server.faults = [Fault.refuse(503)]
    await page.make_client(server.url)
    calls = "kept.client.connect({retry: true}), kept.client.connect()"
    assert await page.run(f"return Promise.all([{calls}].map(nameOf))") == ["opened", "ConnectFailed"]
    assert server.counts.upgraded == 1


async def test_a_server_that_accepts_and_closes_is_not_hammered(page: NodePage, server: FaultyServer) -> None:
    server.faults = lambda connection: None if connection.number == 1 else Fault.accept_then_close(1011)
    await page.make_client(server.url, "reconnect: new one.ReconnectPolicy({initial: 0.02, factor: 4, maxAttempts: 5})")
    await page.run("await kept.client.connect()")
    await server.close_connections(1011)
    await page.run("await kept.client.waitFor('failed')")
    error = await page.run("return kept.client.status.lastError")
    assert error["error"] == "RetriesExhausted"
    assert server.counts.upgraded == 5
    waits = await page.run("return kept.changes.filter((change) => change.new === 'backing off').length")
    assert waits == 4
    assert await page.run("return nameOf(kept.client.subscribe().next())") == "RetriesExhausted"


@pytest.mark.parametrize(
    ("code", "reason", "result"),
    [
        (1001, "", ("ClosedByPeer", "connected")),
        (1010, "", ("ClosedByPeer", "failed")),
        (1013, "", ("ServerBusy", "backing off")),
        (4000, "too many requests", ("ServerBusy", "backing off")),
    ],
)
async def test_a_close_of_the_server_has_its_verdict(
    page: NodePage, server: FaultyServer, code: int, reason: str, result: tuple[str, str]
) -> None:
    name, state = result
    await page.make_client(server.url)
    await page.run("await kept.client.connect()")
    await server.close_connections(code, reason)
    assert await page.run("return kept.client.waitFor(data)", state) == state
    loss = await page.run("return kept.client.status.lastLoss ?? kept.client.status.lastError")
    assert loss["error"] == name
    assert reason in loss["text"]


async def test_a_server_that_never_acknowledges_a_close_is_left_in_bounded_time(page: NodePage) -> None:
    async with FaultyServer(faults=[Fault.never_acknowledge_close()], close_timeout=0.01) as server:
        await page.make_client(server.url, "closeTimeout: 5", has_clock=True)
        await page.run("await kept.client.connect(); kept.closing = nameOf(kept.client.disconnect())")
        await page.run("kept.clock.advance(5)")
        assert await page.run("return kept.client.state") == "closing"
        await page.run("kept.clock.advance(1)")  # a page can't reset the connection
        assert await page.run("return kept.closing") == "done"
        assert await page.run("return kept.client.state") == "stopped"


async def test_an_attempt_ends_at_its_deadline_and_names_the_step(page: NodePage, server: FaultyServer) -> None:
    server.faults = [Fault.never_answer()]
    await page.make_client(server.url, "openTimeout: 10", has_clock=True)
    connecting = page.start("return kept.client.connect().catch((error) => error)")
    await server.wait_until(lambda counts: counts.handshakes == 1)
    await page.run("kept.clock.advance(10)")
    assert await connecting == {
        "error": "OpenTimeout",
        "text": "not ready within open_timeout (10 s): still opening the WebSocket",
        "retryable": True,
    }
    assert await page.run("return kept.client.connect()") == "opened"


async def test_a_policy_without_reconnect_gives_up_and_a_function_decides(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, "reconnect: null")
    await page.run("await kept.client.connect()")
    server.kill_connections()
    assert await page.run("return kept.client.waitFor('failed')") == "failed"
    await page.make_client(server.url, "reconnect: new one.ReconnectPolicy({verdict: (error) => one.Verdict.FAIL})")
    await page.run("await kept.client.connect()")
    server.kill_connections()
    assert await page.run("return kept.client.waitFor('failed')") == "failed"


async def test_silence_replaces_a_connection(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url, "silenceTimeout: 60", has_clock=True)
    await page.run("await kept.client.connect(); kept.clock.advance(50)")
    await server.send("a message")
    await page.run("while (kept.seen.length === 0) await new Promise(setImmediate); kept.clock.advance(50)")
    assert await page.run("return kept.client.state") == "connected"
    await page.run("kept.clock.advance(10); await kept.client.waitFor('backing off'); kept.clock.advance(0)")
    await page.run("await kept.client.waitFor('connected')")
    assert (await page.run("return kept.client.status.lastLoss"))["error"] == "SilenceTimeout"
    assert (server.counts.upgraded, server.counts.most_open) == (2, 1)


async def test_what_cannot_work_is_refused_at_once(page: NodePage, server: FaultyServer) -> None:
    assert await page.run(
        """
        const name = async (call) => { try { return await call() } catch (error) { return error.name } };
        return Promise.all([
          name(() => new one.Client('no url')),
          name(() => new one.Client('ftp://host/')),
          name(() => new one.Client('ws://user:secret@host/')),
          name(() => new one.Client(data, {token: 's3cret'})),
          name(() => new one.Client(data, {opentimeout: 3})),
          name(() => new one.Client(data, {openTimeout: 0})),
          name(() => new one.Client(data, {WebSocket: null})),
          name(() => new one.Client(data, {protocol: {}})),
          name(() => new one.ReconnectPolicy({factor: 0.5})),
          name(() => new one.ReconnectPolicy({maxattempts: 1})),
          name(() => new one.Client(data).subscribe(null, {overflow: 'wait'})),
          name(() => new one.Client(data).subscribe('event')),
          name(() => new one.Client(data).request({})),
          name(() => new one.Client(data).connect({signal: AbortSignal.abort(new TypeError('withdrawn'))})),
        ]);
        """,
        server.url,
    ) == ["InvalidURL"] * 3 + ["InvalidOption"] * 10 + ["TypeError"]
    assert server.counts.tcp_accepted == 0


async def test_a_class_of_sockets_can_be_given(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(
        server.url, "WebSocket: class extends WebSocket {constructor(...all) {super(...all); kept.made = 1}}"
    )
    await page.run("await kept.client.connect()")
    assert await page.run("return kept.made") == 1


async def test_an_address_and_a_token_are_asked_for_each_attempt_and_shown_nowhere(
    page: NodePage, server: FaultyServer
) -> None:
    await page.make_client(
        server.url,
        """
        protocol: new one.Raw({tokenPlace: new one.TokenQuery('ticket')}),
        token: async () => `s3cret-${(kept.tokens = (kept.tokens ?? 0) + 1)}`,
        """,
    )
    await page.run("await kept.client.connect()")
    server.kill_connections()
    await server.wait_until(lambda counts: counts.upgraded == 2)
    assert [connection.request_path for connection in server.history] == ["/?ticket=s3cret-1", "/?ticket=s3cret-2"]
    shown = json.dumps([await page.run("return kept.client.status"), await page.run("return kept.changes")])
    assert "s3cret" not in shown


async def test_a_refused_token_is_replaced(page: NodePage, server: FaultyServer) -> None:
    server.subprotocols = ("feed",)  # a browser takes no answer without one of those that it offered
    await page.make_client(
        server.url,
        """
        protocol: new one.Raw({subprotocols: ['feed'], tokenPlace: new one.TokenSubprotocol('bearer.')}),
        token: (previous, error) => {
          (kept.asked ??= []).push([previous, error?.name ?? null]);
          return previous === null ? 'old' : 'new';
        },
        """,
    )
    await page.run("await kept.client.connect()")
    await server.close_connections(1008, "token expired")
    await server.wait_until(lambda counts: counts.upgraded == 2)
    assert await page.run("return kept.asked") == [[None, None], ["old", "ClosedByPeer"]]
    offered = [connection.request_headers["sec-websocket-protocol"] for connection in server.history]
    assert offered == ["feed, bearer.old", "feed, bearer.new"]


async def test_a_token_function_that_fails_is_told_apart(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(
        server.url, "protocol: new one.Raw({tokenPlace: new one.TokenQuery()}), token: () => kept.fail()"
    )
    error = await page.run("return kept.client.connect().catch((error) => error)")
    assert (error["error"], error["retryable"]) == ("TokenFailed", True)
    assert "kept" not in error["text"]
    assert server.counts.tcp_accepted == 0


async def test_readers_are_isolated_and_bounded(page: NodePage, server: FaultyServer) -> None:
    await page.make_client(server.url)
    seen: dict[str, Any] = await page.run(
        """
        const {client} = kept;
        client.on(() => { throw new RangeError('of a reader') });
        const failing = client.subscribe(null, {limit: 2});
        const dropping = client.subscribe(null, {limit: 2, overflow: 'drop_oldest'});
        const some = client.subscribe(null, {where: (text) => text > '2'});
        await client.connect();
        for (const text of '1234') await client.send(text);
        while (kept.seen.length < 4) await new Promise(setImmediate);
        const read = async (stream, count) => {
          const items = [];
          for (let each = 0; each < count; each += 1) items.push(await nameOf(stream.next().then(({value}) => value)));
          return items;
        };
        return {
          failing: await read(failing, 3), dropping: await read(dropping, 3), some: await read(some, 2),
          errors: kept.errors.map((error) => error.name), stats: client.stats,
        };
        """
    )
    assert seen["failing"] == ["1", "2", "SlowConsumer"]
    assert [seen["dropping"][0]["reason"], seen["dropping"][0]["missed"]] == ["overflow", 2]
    assert seen["dropping"][1:] == ["3", "4"]
    assert seen["some"] == ["3", "4"]
    assert seen["errors"] == ["RangeError"] * 4
    assert (seen["stats"]["callbackErrors"], seen["stats"]["overflows"]) == (4, 3)


async def test_messages_before_the_first_reader_wait_for_it(page: NodePage, server: FaultyServer) -> None:
    server.faults = [Fault.greeting("hello")]
    assert (
        await page.run(
            """
        const client = new one.Client(data);
        await client.connect();
        while (client.stats.received === 0) await new Promise(setImmediate);
        const {value} = await client.subscribe().next();
        await client.close();
        return value;
        """,
            server.url,
        )
        == "hello"
    )
