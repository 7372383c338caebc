"""`Pool`: connections are opened when keys need them, and each one's losses, refusals and failures are its readers'."""

from __future__ import annotations

import asyncio
import json
import pickle
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

import onesocket
from onesocket import DurableOutbox, Gap, Json, Pace, Pool, Raw, ReconnectPolicy, Rotation
from onesocket.errors import ConnectionReset, InvalidOption, PoolFull, ServerBusy, UsageError
from onesocket.pool import PoolStatus
from onesocket.protocols import LastValues, Protocol, Subscriptions
from onesocket.testing import MemoryPeer, run_virtual
from tests.support.ledger_venue import LedgerVenue, key_of, subscribe, unsubscribe

URL = "ws://venue.test/"
SOON = 0.5
LINGER = 2.0
OVERLAP = 0.5
declared = Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of)


def identity(message: dict[str, Any]) -> int | None:
    return message.get("number")


class World:
    """A venue for two keys on each connection, and a pool."""

    def __init__(self, **options: Any) -> None:
        self.venue = LedgerVenue(random.Random(0), limit=2, pace=options.pop("pace", None))
        self.server = self.venue.server
        given: dict[str, Any] = {
            "protocol": self.venue.protocol(),
            "transport": self.server.transport(),
            "linger": LINGER,
            "reconnect": ReconnectPolicy(initial=0.1, cap=0.1),
        }
        self.pool: Pool[Any] = Pool(URL, **given | options)

    @property
    def views(self) -> list[set[str]]:
        """The keys of each open connection."""
        return [view for peer, view in self.venue.views.items() if peer.is_open]

    def peer_of(self, key: str) -> MemoryPeer:
        """The server's end of the oldest open connection with this key."""
        return next(peer for peer, view in self.venue.views.items() if peer.is_open and key in view)

    def send(self, key: str, **fields: Any) -> None:
        """Send a message to each connection that has the key."""
        for peer, view in self.venue.views.items():
            if peer.is_open and key in view:
                peer.send(json.dumps({"key": key, **fields}))


def play(main: Callable[[World], Awaitable[None]], **options: Any) -> World:
    worlds: list[World] = []

    async def run() -> None:
        worlds.append(World(**options))
        async with worlds[0].pool:
            await main(worlds[0])
        assert worlds[0].server.open_now == 0

    run_virtual(run)
    assert not worlds[0].venue.wrong
    return worlds[0]


def items(stream: Any) -> list[Any]:
    """Everything that waits for the reader but answers."""
    found = [stream.queue.take() for _ in range(len(stream))]
    return [item for item in found if isinstance(item, Gap) or "answer" not in item]


def told(found: list[Any]) -> list[Any]:
    """The keys of each gap marker, and messages as they are."""
    return [item.keys if isinstance(item, Gap) else item for item in found]


def test_a_callback_has_connections_opened_for_its_keys_and_gets_their_messages_alone() -> None:
    async def main(world: World) -> None:
        got: list[Any] = []
        world.pool.on(None, got.append, keys=["a", "b", "x"])
        stream = world.pool.subscribe(keys=["c"])
        await asyncio.sleep(SOON)
        assert set().union(*world.views) == {"a", "b", "c"}
        for key in "ac":
            world.send(key, n=1)
        await asyncio.sleep(SOON)
        assert [message for message in got if "answer" not in message] == [{"key": "a", "n": 1}]
        world.pool.off(got.append)
        await asyncio.sleep(SOON)
        assert set().union(*world.views) == {"c"}
        stream.close()

    play(main)


def test_a_connection_is_opened_for_keys_without_room_and_closed_once_it_has_had_none_for_a_while() -> None:
    async def main(world: World) -> None:
        pool = world.pool
        assert world.server.peers == []
        first = pool.subscribe(keys="a")
        await asyncio.sleep(SOON)
        assert world.views == [{"a"}]
        second = pool.subscribe(keys=["a", "b", "c", "d", "e"])
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "b"}, {"c", "d"}, {"e"}]
        second.close()
        await asyncio.sleep(SOON)
        assert world.views == [{"a"}, set(), set()], "kept open, in case others come"
        third = pool.subscribe(keys=["f", "g"])
        await asyncio.sleep(LINGER)
        assert world.views == [{"a", "f"}, {"g"}]
        first.close()
        third.close()
        await asyncio.sleep(2 * LINGER)
        assert world.views == []
        assert len(world.server.peers) == 3
        fourth = pool.subscribe(keys=["a"])
        await asyncio.sleep(SOON)
        assert world.views == [{"a"}], "and another one is opened"
        fourth.close()

    play(main)


def test_a_loss_is_a_gap_for_the_readers_of_its_keys_alone_and_names_them() -> None:
    async def main(world: World) -> None:
        pool, called = world.pool, list[Any]()
        pool.on(None, called.append, gaps=True)
        everything, left, both, right = (
            pool.subscribe(),
            pool.subscribe(keys=["a", "b"]),
            pool.subscribe(keys=["b", "c"]),
            pool.subscribe(keys=["c"]),
        )
        await asyncio.sleep(SOON)
        world.peer_of("a").drop()
        await asyncio.sleep(SOON)
        world.send("c", number=1)
        await asyncio.sleep(SOON)
        (gap,) = [item for item in items(left) if isinstance(item, Gap)]
        assert told([gap]) == [{"a", "b"}]
        assert isinstance(gap.error, ConnectionReset)
        assert told(items(both)) == [{"b"}, {"key": "c", "number": 1}]
        assert items(right) == [{"key": "c", "number": 1}]
        called[:] = [item for item in called if isinstance(item, Gap) or "answer" not in item]
        for found in (items(everything), called):
            assert told(found) == [{"a", "b"}, {"key": "c", "number": 1}]

    play(main)


def test_keys_beyond_the_bound_are_refused_with_the_remedy_and_taken_once_there_is_room() -> None:
    async def main(world: World) -> None:
        stream = world.pool.subscribe(keys="a")
        more = world.pool.subscribe(keys=list("bcdef"))
        with pytest.raises(PoolFull, match=r"max_connections=2, with 2 keys each, are full; raise it") as caught:
            await anext(more)
        assert (caught.value.keys, caught.value.retryable) == (("e", "f"), True)
        stream.close()
        again = world.pool.subscribe(keys=["e"])
        await asyncio.sleep(SOON)
        assert world.views == [{"b", "e"}, {"c", "d"}]
        assert not again.queue.refusals

    assert play(main, max_connections=2).server.most_open == 2


def busy() -> ServerBusy:
    error = ServerBusy("connection limit exceeded")
    error.is_connection_limit = True
    return error


def test_a_service_that_refuses_one_connection_more_shrinks_the_pool_for_a_while() -> None:
    async def main(world: World) -> None:
        def dialled(peer: MemoryPeer) -> None:
            peer.refuse(busy()) if world.server.open_now > allowed[0] else peer.accept()

        allowed = [2]
        world.server.on_dial = dialled
        stream = world.pool.subscribe(keys=list("abcd"))
        await asyncio.sleep(SOON)
        more = world.pool.subscribe(keys=["e"])
        with pytest.raises(PoolFull, match="the service takes no more than 2 connections now"):
            await anext(more)
        assert world.pool.status.max_connections == 2
        assert world.views == [{"a", "b"}, {"c", "d"}]
        dials = len(world.server.peers)
        with pytest.raises(PoolFull):
            await anext(world.pool.subscribe(keys=["e"]))
        assert len(world.server.peers) == dials, "it isn't asked again"
        allowed[0] = 3
        await asyncio.sleep(301)
        assert world.pool.status.max_connections == 10
        last = world.pool.subscribe(keys=["e"])
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "b"}, {"c", "d"}, {"e"}]
        stream.close()
        last.close()

    play(main)


def test_the_only_connection_waits_where_another_program_has_its_place() -> None:
    async def main(world: World) -> None:
        refusals = [busy(), busy()]
        world.server.on_dial = lambda peer: peer.refuse(refusals.pop()) if refusals else peer.accept()
        stream = world.pool.subscribe(keys=["a"])
        await asyncio.sleep(600)
        assert world.views == [{"a"}]
        assert not stream.queue.refusals
        assert world.pool.status.max_connections == 10

    play(main)


def test_a_connection_that_fails_for_good_fails_its_own_readers_and_the_next_subscription_tries_again() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=keys) for keys in (["a"], ["b", "c"])]
        silent = world.pool.subscribe(keys=["c"], raise_on_failure=False)
        await asyncio.sleep(SOON)
        world.peer_of("c").close(1008, "no")
        world.server.on_dial = lambda peer: peer.refuse(InvalidOption("no"))
        await asyncio.sleep(SOON)
        assert [stream.queue.error is None for stream in (*streams, silent)] == [True, False, True]
        assert (world.pool.status.waiting, world.pool.status.is_connected) == (1, False)
        world.server.on_dial = None
        more = world.pool.subscribe(keys=["d"])
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "b"}, {"c", "d"}]
        assert world.pool.status.is_connected
        more.close()

    play(main)


def test_what_was_missed_by_the_keys_of_a_failed_connection_is_told_once_they_have_another() -> None:
    async def main(world: World) -> None:
        silent = world.pool.subscribe(keys=["a"], raise_on_failure=False)
        never = world.pool.subscribe(keys=["b"])
        await asyncio.sleep(SOON)
        items(silent)
        world.peer_of("a").close(1010)
        await asyncio.sleep(SOON)
        never.close()
        assert items(silent) == []
        more = world.pool.subscribe(keys=["c"])
        await asyncio.sleep(SOON)
        world.send("a", number=2)
        await asyncio.sleep(SOON)
        assert told(items(silent)) == [{"a"}, {"key": "a", "number": 2}]
        assert not [item for item in items(more) if isinstance(item, Gap)]

    play(main)


def test_keys_of_a_lost_connection_go_where_there_is_room_and_an_idle_one_is_not_restored() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=keys) for keys in ("a", "b", ["c", "d"], "e")]
        await asyncio.sleep(SOON)
        streams.pop(1).close()
        streams.pop(1).close()
        await asyncio.sleep(SOON)
        for stream in streams:
            items(stream)
        assert world.views == [{"a"}, set(), {"e"}]
        dials = len(world.server.peers)
        for peer in [peer for peer in world.venue.views if peer.is_open][1:]:
            peer.drop()
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "e"}]
        assert len(world.server.peers) == dials
        world.send("e", number=1)
        await asyncio.sleep(SOON)
        assert told(items(streams[1])) == [{"e"}, {"key": "e", "number": 1}]
        assert items(streams[0]) == []

    play(main)


def test_the_place_of_a_lost_connection_that_another_program_has_taken_is_given_up_after_a_minute() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=list(keys)) for keys in ("ab", "cd")]
        await asyncio.sleep(SOON)
        world.server.on_dial = lambda peer: peer.refuse(busy())
        world.peer_of("c").drop()
        await asyncio.sleep(50)
        assert not streams[1].queue.refusals, "it may be our own that still counts"
        await asyncio.sleep(300)
        with pytest.raises(PoolFull, match="no more than 1 connections now") as caught:
            await anext(streams[1])
        assert caught.value.keys == ("c", "d")
        assert world.views == [{"a", "b"}]
        assert not streams[0].queue.refusals

    play(main)


def test_a_reader_that_waits_holds_all_connections_the_later_ones_too() -> None:
    async def main(world: World) -> None:
        slow = world.pool.subscribe(keys=list("abc"), limit=1, overflow="wait")
        other = world.pool.subscribe(keys=["d"])
        await asyncio.sleep(SOON)
        items(slow)
        for number in range(3):
            world.send("a", number=number)
        await asyncio.sleep(SOON)
        assert world.pool.status.is_held
        late = world.pool.subscribe(keys=["e"])
        await asyncio.sleep(SOON)
        world.send("d", number=7)
        world.send("e", number=8)
        await asyncio.sleep(SOON)
        assert (items(other), items(late)) == ([], [])
        read = items(slow)
        await asyncio.sleep(SOON)
        assert [item["number"] for item in read + items(slow)] == [0, 1, 2]
        assert (items(other), items(late)) == ([{"key": "d", "number": 7}], [{"key": "e", "number": 8}])

    play(main)


def test_each_connection_has_a_pace_of_its_own() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=["a", "b"]), world.pool.subscribe(keys=["c"])]
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "b"}, {"c"}], "none waits for the other"
        for stream in streams:
            stream.close()

    play(main, pace=Pace(1, per=60.0))


def test_late_readers_begin_with_the_state_and_a_loss_forgets_that_of_its_keys() -> None:
    async def main(world: World) -> None:
        first = world.pool.subscribe(keys=list("abc"))
        await asyncio.sleep(SOON)
        for key in "abc":
            world.send(key, number=1)
        await asyncio.sleep(SOON)
        assert items(world.pool.subscribe(keys=["a"])) == [{"key": "a", "number": 1}]
        world.peer_of("a").drop()
        await asyncio.sleep(SOON)
        late = world.pool.subscribe(keys=["a", "c"])
        assert items(late) == [{"key": "c", "number": 1}]
        first.close()

    play(main, protocol=Json(subscriptions=declared, snapshot=LastValues()), per_connection=2)


async def begin_move(world: World) -> tuple[Any, Any]:
    """Let the keys of two connections have room on one; returns the streams of a and c when c is on both."""
    stay, leave = world.pool.subscribe(keys=["a"]), world.pool.subscribe(keys=["b"])
    mover = world.pool.subscribe(keys=["c"])
    await asyncio.sleep(SOON)
    leave.close()
    await asyncio.sleep(LINGER + OVERLAP / 2)
    assert world.views == [{"a", "c"}, {"c"}]
    for stream in (stay, mover):
        items(stream)
    return stay, mover


MOVING: Any = {"rotation": Rotation(identity=identity, overlap=OVERLAP), "per_connection": 2}


def test_keys_are_gathered_on_fewer_connections_without_a_loss_or_a_double() -> None:
    async def main(world: World) -> None:
        _, mover = await begin_move(world)
        for number in range(40):
            world.send("c", number=number)
            await asyncio.sleep(OVERLAP / 10)
        assert [item["number"] for item in items(mover)] == list(range(40))
        assert world.views == [{"a", "c"}, set()], "subscribed on one, then unsubscribed on the other ..."
        await asyncio.sleep(LINGER)
        assert world.views == [{"a", "c"}], "... which is closed"

    play(main, **MOVING)


def test_keys_stay_where_they_are_without_an_identity() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=[key]) for key in "abc"]
        await asyncio.sleep(SOON)
        streams[1].close()
        await asyncio.sleep(10 * LINGER)
        assert world.views == [{"a"}, {"c"}]

    play(main)


def test_the_loss_of_the_source_ends_a_move_with_a_gap_and_the_target_goes_on() -> None:
    async def main(world: World) -> None:
        stay, mover = await begin_move(world)
        world.send("c", number=1)
        source = next(peer for peer, view in world.venue.views.items() if peer.is_open and view == {"c"})
        source.drop()
        await asyncio.sleep(0)
        world.send("c", number=2)
        await asyncio.sleep(2 * LINGER)
        assert told(items(mover)) == [{"key": "c", "number": 1}, {"c"}, {"key": "c", "number": 2}]
        assert items(stay) == []
        assert world.views == [{"a", "c"}]

    play(main, **MOVING)


def test_copies_of_what_the_source_was_ahead_with_are_not_doubled_after_its_loss() -> None:
    async def main(world: World) -> None:
        _, mover = await begin_move(world)
        target, source = (peer for peer in world.venue.views if peer.is_open)
        source.send(json.dumps({"key": "c", "number": 1}))
        await asyncio.sleep(0.01)
        source.drop()
        await asyncio.sleep(OVERLAP / 2)
        for number in (1, 2):
            target.send(json.dumps({"key": "c", "number": number}))
        await asyncio.sleep(2 * LINGER)
        assert told(items(mover)) == [{"key": "c", "number": 1}, {"c"}, {"key": "c", "number": 2}]
        assert world.views == [{"a", "c"}]

    play(main, **MOVING)


def test_a_source_without_keys_stays_until_the_end_of_the_move() -> None:
    async def main(world: World) -> None:
        streams = [world.pool.subscribe(keys=[key]) for key in "abc"]
        await asyncio.sleep(SOON)
        streams.pop(1).close()
        target, source = (peer for peer in world.venue.views if peer.is_open)
        items(streams[1])
        await asyncio.sleep(2.2 * OVERLAP)
        assert world.views == [{"a", "c"}, set()]
        world.pool.subscribe(keys=["a"]).close()  # has the pool look for connections without keys
        source.send(json.dumps({"key": "c", "number": 1}))
        await asyncio.sleep(OVERLAP / 2)
        for number in (1, 2):
            target.send(json.dumps({"key": "c", "number": number}))
        await asyncio.sleep(2 * LINGER)
        found = [item for item in items(streams[1]) if "number" in item]
        assert found == [{"key": "c", "number": 1}, {"key": "c", "number": 2}]
        assert world.views == [{"a", "c"}]

    play(main, **{**MOVING, "linger": 0.01})


def test_the_loss_of_the_target_leaves_keys_at_the_source_and_they_move_later() -> None:
    async def main(world: World) -> None:
        stay, mover = await begin_move(world)
        world.peer_of("a").drop()
        for number in range(60):
            world.send("c", number=number)
            await asyncio.sleep(OVERLAP / 5)
        assert [item["number"] for item in items(mover)] == list(range(60))
        assert [item.keys for item in items(stay)] == [{"a"}]
        assert world.views == [{"a", "c"}]

    play(main, **MOVING)


def test_a_key_that_leaves_while_it_moves_is_left_on_both_connections() -> None:
    async def main(world: World) -> None:
        _, mover = await begin_move(world)
        mover.close()
        await asyncio.sleep(SOON)
        assert world.views == [{"a"}, set()]
        await asyncio.sleep(2 * LINGER)
        assert world.views == [{"a"}]

    play(main, **MOVING)


def test_a_pool_is_iterated_and_has_callbacks() -> None:
    async def main(world: World) -> None:
        got = list[Any]()
        world.pool.on(got.append)
        everything = aiter(world.pool)
        stream = world.pool.subscribe(keys=list("abc"))
        await asyncio.sleep(SOON)
        got.clear()
        items(everything)
        world.peer_of("a").send('{"hello": 1}')
        world.send("c", number=1)
        await asyncio.sleep(SOON)
        assert items(everything) == got == [{"hello": 1}, {"key": "c", "number": 1}]
        world.pool.off(got.append)
        world.send("c", number=2)
        await asyncio.sleep(SOON)
        assert len(got) == 2
        stream.close()

    play(main)


def test_a_key_that_cannot_be_looked_up_harms_no_other_message() -> None:
    async def main(world: World) -> None:
        stream, everything = world.pool.subscribe(keys=["a"]), world.pool.subscribe()
        await asyncio.sleep(SOON)
        items(everything)
        items(stream)
        world.peer_of("a").send('{"key": ["unhashable"]}')
        world.send("a", number=1)
        await asyncio.sleep(SOON)
        assert items(stream) == [{"key": "a", "number": 1}]
        assert items(everything) == [{"key": ["unhashable"]}, {"key": "a", "number": 1}]

    play(main, on_error=lambda _: None)


def test_the_status_has_each_connection_with_its_keys() -> None:
    async def main(world: World) -> None:
        assert world.pool.status == PoolStatus(
            connections=(), keys=(), waiting=0, max_connections=10, inbox=0, subscribers=0, is_held=False
        )
        stream = world.pool.subscribe(keys=list("abc"))
        assert not world.pool.status.is_connected
        await asyncio.sleep(SOON)
        status = world.pool.status
        assert [(each.is_connected, keys) for each, keys in zip(status.connections, status.keys, strict=True)] == [
            (True, 2),
            (True, 1),
        ]
        assert (status.is_connected, status.subscribers) == (True, 1)
        assert "Connections 2/10 keys=3 waiting=0" in repr(world.pool)
        stream.close()

    play(main)


def test_a_closed_pool_ends_its_streams_and_opens_nothing() -> None:
    async def main(world: World) -> None:
        stream = world.pool.subscribe(keys=list("abc"))
        await world.pool.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        stream.close()
        dials = len(world.server.peers)
        assert [message async for message in world.pool.subscribe(keys=["d"])] == []
        assert len(world.server.peers) == dials

    play(main)


def test_a_cancelled_close_ends_the_streams_and_goes_on() -> None:
    async def main(world: World) -> None:
        stream = world.pool.subscribe(keys=list("abc"))
        await asyncio.sleep(SOON)
        reading = asyncio.ensure_future(anext(world.pool.subscribe(), None))
        closing = asyncio.create_task(world.pool.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert await reading is None
        await asyncio.sleep(10)
        assert world.server.open_now == 0
        stream.close()

    play(main)


def test_a_subscription_that_can_not_be_made_leaves_nothing() -> None:
    class Unlucky(Json):
        def successor(self) -> Unlucky:
            raise RuntimeError("no")

    async def main(world: World) -> None:
        first = world.pool.subscribe(keys=["a", "b"])
        with pytest.raises(RuntimeError, match="no"):
            world.pool.subscribe(keys=["b", "c"])
        assert (world.pool.status.waiting, world.pool.status.subscribers) == (0, 1)
        await asyncio.sleep(SOON)
        assert world.views == [{"a", "b"}]
        first.close()

    play(main, protocol=Unlucky(subscriptions=declared), per_connection=2)


def test_keys_need_a_running_loop_and_a_pool_stays_in_its_process() -> None:
    pool: Pool[Any] = onesocket.Pool(URL, protocol=Json(subscriptions=declared), per_connection=2)
    with pytest.raises(UsageError, match="running event loop"):
        pool.subscribe(keys=["a"])
    with pytest.raises(UsageError, match="can't be pickled"):
        pickle.dumps(pool)


def with_protocol(options: dict[str, Any]) -> dict[str, Any]:
    return {"protocol": Json(subscriptions=declared), **options}


class NoTwin(Json):
    """A protocol whose sessions allow one connection."""

    successor: Any = Protocol.successor


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "needs per_connection"),
        ({"per_connection": 0}, "per_connection must be a whole number >= 1, not 0"),
        ({"per_connection": True}, "per_connection must be a whole number >= 1, not True"),
        ({"per_connection": 2, "max_connections": 0}, "max_connections must be a whole number >= 1"),
        ({"per_connection": 2, "linger": -1}, "linger must be a finite number of seconds"),
        ({"per_connection": 2, "protocol": Raw()}, "keys= needs a protocol that describes its subscriptions"),
        ({"per_connection": 2, "protocol": NoTwin(subscriptions=declared)}, "NoTwin has no successor"),
        ({"per_connection": 2, "protocol": Json(subscriptions=replace(declared, wildcard=str))}, "no wildcard="),
        ({"per_connection": 2, "outbox": DurableOutbox("x.db")}, "DurableOutbox to a Client"),
        ({"per_connection": 2, "open_timeout": 0}, "open_timeout"),
    ],
)
def test_wrong_options_are_refused_with_the_remedy(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(InvalidOption, match=remedy):
        Pool(URL, **with_protocol(options))


def test_more_keys_than_the_service_declares_are_refused() -> None:
    limited = Json(subscriptions=Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, key=key_of, limit=2))
    with pytest.raises(InvalidOption, match="per_connection=3 is more than limit=2"):
        Pool(URL, protocol=limited, per_connection=3)
