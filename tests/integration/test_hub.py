"""A hub on real sockets: one upstream that counts, and local clients of another library."""

import asyncio
import contextlib
import gc
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from websockets.typing import Subprotocol

from onesocket import Rotation, State
from onesocket.client import OutboxLimits
from onesocket.errors import HandshakeRejected
from onesocket.hub import Interest, JsonMerge, hubs
from onesocket.protocols import SubscriptionAnswer
from onesocket.testing import Fault, FaultyServer
from tests.integration.hub_clients import connected_program, next_message, running_hub, wait_closed
from tests.support.waiting import DEADLINE, until

pytestmark = pytest.mark.usefixtures("private_runtime")


async def test_ten_programs_one_upstream_and_everything_goes_both_ways() -> None:
    async with FaultyServer(echo=False) as server, running_hub(server) as hub, contextlib.AsyncExitStack() as stack:
        programs = [await stack.enter_async_context(connected_program(hub)) for _ in range(10)]
        await programs[0].send("up")
        await programs[1].send(b"\x00\xff")
        await server.wait_until(lambda counts: counts.messages_received == 2)
        assert set(server.received) == {"up", b"\x00\xff"}
        await server.broadcast("text ✓")
        await server.broadcast(b"binary")
        for one in programs:
            assert [await next_message(one), await next_message(one)] == ["text ✓", b"binary"]
        assert server.counts.handshakes == server.counts.most_open == 1
        assert hub.frontend.clients == 10


async def test_lengths_of_every_kind_of_frame() -> None:
    sizes = [0, 1, 125, 126, 65_535, 65_536, 300_000]
    async with FaultyServer() as server, running_hub(server) as hub, connected_program(hub, max_size=None) as one:
        for size in sizes:
            await one.send("x" * size)
            await one.send(b"y" * size)
            assert [await next_message(one), await next_message(one)] == ["x" * size, b"y" * size]


async def test_the_subprotocol_that_the_upstream_chose() -> None:
    async with (
        FaultyServer(subprotocols=["v2"]) as server,
        running_hub(server, client_options={"subprotocols": ["v1", "v2"]}) as hub,
        connected_program(hub, subprotocols=[Subprotocol("v1"), Subprotocol("v2")]) as both,
        connected_program(hub) as none,
    ):
        assert both.subprotocol == "v2"
        assert none.subprotocol is None


async def test_the_upstream_is_rotated_without_a_hole_for_the_programs(caplog: pytest.LogCaptureFixture) -> None:
    rotation = Rotation(identity=lambda message: message, overlap=0.05)
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, client_options={"rotation": rotation}) as hub,
        connected_program(hub) as one,
    ):
        numbers: list[int] = []
        number = 0
        hub.rotate()
        while hub.status.epoch == 1 or numbers[-1] < number:
            if hub.status.epoch == 1:
                number += 1
                await server.broadcast(str(number))
            numbers.append(int(await next_message(one)))
        assert numbers == [*range(1, number + 1)]
        await until(lambda: "the upstream was rotated: epoch 2" in caplog.text)
        assert (server.counts.most_open, server.counts.open_now) == (2, 1)
        assert "was lost" not in caplog.text


async def test_a_client_that_does_not_read_is_cut_off_and_others_go_on() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, client_buffer=64 << 10) as hub,
        connected_program(hub, max_queue=1) as slow,
        connected_program(hub) as quick,
    ):
        count = 0
        while not hub.counters.cut_off:
            await server.broadcast(b"x" * 60_000)
            count += 1
            assert len(await next_message(quick)) == 60_000
        code, reason = await wait_closed(slow)
        assert code == 1013
        assert "65536 bytes" in reason
        await server.broadcast("still here")
        assert await next_message(quick) == "still here"
        assert quick.state.name == "OPEN"
        assert hub.counters.cut_off == 1


async def test_a_client_that_leaves_or_breaks_the_rules_leaves_the_others_alone() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, max_message=1000) as hub,
        connected_program(hub) as stays,
    ):
        async with connected_program(hub) as rude:
            await rude.send("x" * 1001)
            assert (await wait_closed(rude))[0] == 1009
        async with connected_program(hub) as pieces:
            await pieces.send(["x" * 600, "y" * 600])
            assert (await wait_closed(pieces))[0] == 1009
        async with connected_program(hub) as gone:
            gone.transport.abort()
        await until(lambda: hub.frontend.clients == 1)
        await server.broadcast("fine")
        assert await next_message(stays) == "fine"


async def test_a_client_that_is_gone_is_freed_without_the_collector() -> None:
    async with FaultyServer() as server, running_hub(server) as hub:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                async with connected_program(hub) as one:
                    await one.send("echo")
                    assert await next_message(one) == "echo"
                async with connected_program(hub) as gone:
                    gone.transport.abort()
            await until(lambda: hub.frontend.clients == 0)
            await asyncio.sleep(0)
            kinds = [type(thing).__qualname__ for thing in gc.get_objects()]
        finally:
            gc.enable()
        assert {"RawClient", "ServerConnection", "AcceptedConnection"} & set(kinds) == set()


async def test_the_upstream_is_lost_and_clients_stay_and_are_told_in_words_of_choice() -> None:
    gap = '{"type":"gap"}'
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, gap_message=gap) as hub,
        connected_program(hub) as one,
    ):
        await server.broadcast("before")
        assert await next_message(one) == "before"
        await server.restart()
        await server.wait_until(lambda counts: counts.upgraded == 2)
        await until(lambda: hub.status.state is State.CONNECTED)
        await server.broadcast("after")
        assert [await next_message(one), await next_message(one)] == [gap, "after"]
        assert server.counts.most_open == 1
        assert hub.connection_stats.reconnects == 1


async def test_the_upstream_is_lost_and_clients_are_closed_if_they_want_to_be() -> None:
    async with FaultyServer() as server, running_hub(server, on_loss="close") as hub, connected_program(hub) as one:
        await server.restart()
        assert (await wait_closed(one))[0] == 1012


async def test_what_is_sent_while_the_upstream_is_down_waits_for_it() -> None:
    async with FaultyServer(echo=False) as server, running_hub(server) as hub, connected_program(hub) as one:
        await server.stop_listening(kill=True)
        await until(lambda: hub.status.state is not State.CONNECTED)
        async with connected_program(hub) as late:
            await one.send("first")
            await late.send("second")
            await until(lambda: hub.status.outbox == 2)
            await server.start()
            await server.wait_until(lambda counts: counts.messages_received == 2)
        assert set(server.received) == {"first", "second"}


async def test_a_client_is_told_when_its_message_can_not_go_up() -> None:
    options = {"outbox": OutboxLimits(messages=0)}
    async with (
        FaultyServer() as server,
        running_hub(server, client_options=options) as hub,
        connected_program(hub) as one,
    ):
        await server.stop_listening(kill=True)
        await until(lambda: hub.status.state is not State.CONNECTED)
        await one.send("lost")
        code, reason = await wait_closed(one)
        assert (code, "was not sent upstream" in reason, "OutboxFull" in reason) == (1013, True, True)
        assert hub.counters.not_sent == 1


async def test_the_upstream_says_no_for_good() -> None:
    async with FaultyServer() as server, running_hub(server) as hub, connected_program(hub) as one:
        server.faults = Fault.refuse(401)
        server.kill_connections()
        code, reason = await wait_closed(one)
        assert code == 1014
        assert "401" in reason
        async with asyncio.timeout(DEADLINE):
            assert isinstance(await hub.until_failed(), HandshakeRejected)


async def test_the_first_connect_is_not_repeated_and_leaves_nothing(private_runtime: Path) -> None:
    async with FaultyServer(faults=Fault.refuse(503)) as server:
        with pytest.raises(HandshakeRejected):
            async with running_hub(server):
                pass
        assert server.counts.handshakes == 1
    assert hubs() == []


async def test_with_linger_the_upstream_is_closed_without_clients() -> None:
    async with FaultyServer() as server, running_hub(server, linger=0.0) as hub:
        await until(lambda: hub.status.state is State.STOPPED)
        for number in (2, 3):
            async with connected_program(hub) as one:
                await one.send("wake up")
                assert await next_message(one) == "wake up"
                assert server.counts.handshakes == number
            await until(lambda: hub.status.state is State.STOPPED)
        server.faults = Fault.refuse(503)
        async with connected_program(hub) as one:
            assert (await wait_closed(one))[0] == 1014
        server.faults = None
        async with connected_program(hub) as one:
            await one.send("again")
            assert await next_message(one) == "again"
        assert server.counts.most_open == 1


async def test_stopping_sends_up_what_was_accepted_and_closes_in_order() -> None:
    async with FaultyServer(echo=False) as server:
        async with running_hub(server) as hub, connected_program(hub) as one, connected_program(hub) as two:
            for number in range(100):
                await one.send(str(number))
            await server.wait_until(lambda counts: counts.messages_received >= 1)
            stopping = asyncio.create_task(hub.stop())
            assert await wait_closed(two) == (1001, "the hub is stopping")
            assert (await wait_closed(one))[0] == 1001
            await stopping
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", hub.endpoint.port)
        counts = await server.wait_until(lambda counts: counts.open_now == 0)
        assert dict(counts.close_codes) == {1000: 1}


async def test_stopping_while_the_upstream_is_down_says_what_was_not_sent() -> None:
    async with FaultyServer() as server, running_hub(server, close_timeout=0.5) as hub, connected_program(hub) as one:
        await server.stop_listening(kill=True)
        await until(lambda: hub.status.state is not State.CONNECTED)
        await one.send("never")
        await until(lambda: hub.status.outbox == 1)
        stopping = asyncio.create_task(hub.stop())
        code, reason = await wait_closed(one)
        assert code == 1013
        assert "1 messages were not sent upstream" in reason
        await stopping


async def test_stopping_while_a_message_is_on_its_way_says_that_it_may_have_gone_up() -> None:
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, close_timeout=0.5) as hub,
        connected_program(hub) as one,
    ):
        server.connections[0].stop_reading()
        for _ in range(100):
            await one.send("x" * 100_000)  # more than the kernel takes
        await until(lambda: hub.status.outbox == 1)
        stopping = asyncio.create_task(hub.stop())
        code, reason = await wait_closed(one)
        assert code == 1011, reason
        assert "may not have been sent upstream" in reason
        await stopping


async def test_subscriptions_are_merged_and_repeated_after_a_loss() -> None:
    async with FaultyServer(echo=False) as server, running_hub(server, merge=JsonMerge(key="topic")) as hub:
        async with connected_program(hub) as one, connected_program(hub) as two:
            await one.send('{"op": "subscribe", "args": ["a", {"b": 1, "a": 2}]}')
            await server.wait_until(lambda counts: counts.messages_received == 1)
            await two.send('{"op": "subscribe", "args": ["a", {"a": 2, "b": 1}, "c"]}')
            await server.wait_until(lambda counts: counts.messages_received == 2)
            assert [json.loads(message) for message in server.received] == [
                {"op": "subscribe", "args": ["a", {"a": 2, "b": 1}]},
                {"op": "subscribe", "args": ["c"]},
            ]
            await server.broadcast('{"topic": "c", "n": 1}')
            await server.broadcast('{"topic": "a", "n": 2}')
            await server.broadcast('{"n": 3}')
            assert [json.loads(await next_message(one)).get("n") for _ in range(2)] == [2, 3]
            assert [json.loads(await next_message(two)).get("n") for _ in range(3)] == [1, 2, 3]
            await two.send('{"op": "unsubscribe", "args": ["a", "c", "never subscribed"]}')
            await server.wait_until(lambda counts: counts.messages_received == 3)
            assert json.loads(server.received[2]) == {"op": "unsubscribe", "args": ["c"]}
            await one.send('{"op": "other", "args": ["a"]}')
            await server.wait_until(lambda counts: counts.messages_received == 4)
            await server.restart()
            await server.wait_until(lambda counts: counts.messages_received == 5)
            assert json.loads(server.received[4]) == {"op": "subscribe", "args": ["a", {"a": 2, "b": 1}]}
        await server.wait_until(lambda counts: counts.messages_received == 6)
        assert json.loads(server.received[5])["op"] == "unsubscribe"


class FailingMerge(JsonMerge):
    """Fails wherever it can, on what is marked for it."""

    def read(self, data: str | bytes) -> Interest | None:
        if data == "fail":
            raise ZeroDivisionError
        return super().read(data)

    def subscribe(self, keys: frozenset[str]) -> Iterable[str | bytes]:
        if '"fail"' in keys:
            raise ZeroDivisionError
        return super().subscribe(keys)

    def key_of(self, data: str | bytes) -> str | None:
        if data == "fail":
            raise ZeroDivisionError
        return super().key_of(data)


async def test_merged_subscriptions_of_a_lost_upstream_never_reach_the_next() -> None:
    def asking(verb: str, *keys: str) -> str:
        return json.dumps({"op": verb, "args": keys})

    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, merge=JsonMerge()) as hub,
        connected_program(hub) as flooder,
        connected_program(hub) as one,
        connected_program(hub) as two,
    ):
        await one.send(asking("subscribe", "kept", "gone"))
        await server.wait_until(lambda _: server.history[0].subscriptions.keys == {"kept", "gone"}, DEADLINE)
        server.connections[0].stop_reading()
        while not hub.status.outbox:
            await flooder.send("x" * 500_000)
        await one.send(asking("unsubscribe", "gone"))
        await two.send(asking("subscribe", "stale", "kept"))
        await one.send(asking("subscribe", "new"))
        await (await one.ping())
        await (await two.ping())
        await server.stop_listening(kill=True)
        await until(lambda: hub.status.state is not State.CONNECTED)
        await two.close()
        await until(lambda: hub.frontend.clients <= 2)
        await server.start()
        await server.wait_until(lambda _: len(server.history) == 2, DEADLINE)
        await one.send("last")
        await server.wait_until(lambda _: "last" in server.history[1].received, DEADLINE)
        ledger = server.history[1].subscriptions
        assert ledger.keys == {"kept", "new"}
        assert not ledger.odd
        assert server.history[1].received[0] == asking("subscribe", "kept", "new").replace(" ", "")


async def test_a_merge_that_fails_harms_only_whom_it_failed_for() -> None:
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    async with (
        FaultyServer(echo=False) as server,
        running_hub(server, merge=FailingMerge()) as hub,
        connected_program(hub) as one,
    ):
        async with connected_program(hub) as two:
            await two.send("fail")
            assert (await wait_closed(two))[0] == 1011
        await one.send('{"op": "subscribe", "args": ["fail", "good"]}')
        await one.send("next")
        await server.wait_until(lambda counts: counts.messages_received == 2)
        await server.broadcast("fail")
        assert await next_message(one) == "fail"
        assert sorted(map(str, server.received)) == ["next", '{"op":"subscribe","args":["good"]}']
    assert list(map(type, reported)) == [ZeroDivisionError]


class LimitedMerge(JsonMerge):
    """A service that refuses x, allows two keys, and takes one in a message."""

    limit = 2
    batch = 1

    def ack(self, data: str | bytes) -> SubscriptionAnswer | None:
        answer = json.loads(data)
        return SubscriptionAnswer([json.dumps(answer["no"])], refused="unknown") if "no" in answer else None

    def refused(self, keys: frozenset[str], reason: str) -> Iterable[str]:
        return [json.dumps({"refused": sorted(map(json.loads, keys)), "reason": reason})]


async def test_refused_keys_reach_the_client_that_wanted_them() -> None:
    def refuse(_: object, message: str | bytes) -> str | None:
        asked = json.loads(message)
        return json.dumps({"no": "x"}) if asked == {"op": "subscribe", "args": ["x"]} else None

    async with (
        FaultyServer(on_message=refuse) as server,
        running_hub(server, merge=LimitedMerge()) as hub,
        connected_program(hub) as one,
        connected_program(hub) as two,
    ):
        await one.send('{"op": "subscribe", "args": ["a", "x"]}')
        assert json.loads(await next_message(two)) == {"no": "x"}, "of the service itself, as all without a key"
        told = [json.loads(await next_message(one)) for _ in range(2)]
        assert {"no": "x"} in told
        assert {"refused": ["x"], "reason": "unknown"} in told
        await two.send('{"op": "subscribe", "args": ["b", "c"]}')
        reason = "a connection has at most 2 keys"
        assert json.loads(await next_message(two)) == {"refused": ["c"], "reason": reason}
        await two.close()
        await server.wait_until(lambda _: json.loads(server.received[-1]) == {"op": "unsubscribe", "args": ["b"]})
        await one.close()
        await server.wait_until(lambda _: json.loads(server.received[-1]) == {"op": "unsubscribe", "args": ["a"]})


async def test_protocol_json_refuses_what_is_not() -> None:
    async with FaultyServer() as server, running_hub(server, json=True) as hub, connected_program(hub) as one:
        await one.send('{"a": 1}')
        assert await next_message(one) == '{"a": 1}'
        await one.send("{")
        assert (await wait_closed(one))[0] == 1007
        assert server.counts.messages_received == 1
