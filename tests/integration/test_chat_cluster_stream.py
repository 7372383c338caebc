"""The stream of a cluster on a real Redis: order, what is missed, and what was left in the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from onesocket.errors import EngineKeyTaken, EngineUnusable
from onesocket.sharing.cluster._redis_address import RedisAddress
from onesocket.sharing.cluster._redis_client import RedisClient
from onesocket_discord.server.cluster._event_stream import ClusterKeys, EventStream, MissedEntries, StreamId
from onesocket_discord.server.store import Store, UnitOfWork
from tests.support.postgresql import PostgresqlServer
from tests.support.redis_server import RedisServer, redis_server

KEYS = ClusterKeys("test:")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
async def stream(server: RedisServer) -> AsyncIterator[EventStream]:
    server.client().flushall()
    client = RedisClient(RedisAddress.of(server.url), "test", 2.0)
    yield EventStream(client, KEYS)
    await client.aclose()


async def add(stream: EventStream, *bodies: bytes) -> None:
    await stream.add([(None, body) for body in bodies])


async def read(stream: EventStream, after: StreamId, to: StreamId) -> list[bytes]:
    return [body async for page in stream.between(after, to) for body in page]


async def test_entries_are_numbered_without_a_hole_and_read_from_any_place(stream: EventStream) -> None:
    start = await stream.position()
    bodies = [b"%d" % n for n in range(1200)]
    for n in range(0, 1200, 100):
        await add(stream, *bodies[n : n + 100])
    end = await stream.position()
    assert end == (start.base, 1200)
    assert await read(stream, start, end) == bodies
    assert await read(stream, StreamId(start.base, 700), StreamId(start.base, 703)) == bodies[700:703]
    followed = await stream.follow(StreamId(start.base, 1190), 0)
    assert followed == [(StreamId(start.base, n + 1), b"%d" % n) for n in range(1190, 1200)]
    waiting = asyncio.create_task(stream.follow(end, 5))
    await add(stream, b"new")
    assert await waiting == [(StreamId(start.base, 1201), b"new")]
    assert await stream.follow(StreamId(start.base, 1201), 0) == []


async def test_what_is_not_there_any_more_is_missed_not_skipped(stream: EventStream, server: RedisServer) -> None:
    start = await stream.position()
    await add(stream, *(b"%d" % n for n in range(10)))
    server.client().xtrim(KEYS.stream, maxlen=4, approximate=False)
    end = await stream.position()
    for after in (start, StreamId(start.base, 5)):
        with pytest.raises(MissedEntries):
            await stream.follow(after, 0)
        with pytest.raises(MissedEntries):
            await read(stream, after, end)
    assert await read(stream, StreamId(start.base, 6), end) == [b"6", b"7", b"8", b"9"]


@pytest.mark.parametrize("is_used_again", [False, True])
async def test_a_stream_that_was_begun_anew_is_noticed(
    stream: EventStream, server: RedisServer, is_used_again: bool
) -> None:
    await add(stream, b"a")
    end = await stream.position()
    server.client().flushall()
    with server.client() as raw:
        while raw.time() < (end.base // 1000, end.base % 1000 * 1000 + 1000):
            pass  # a stream is told from the one before by the millisecond in which it was begun
    if is_used_again:
        await add(stream, b"b", b"c")
    with pytest.raises(MissedEntries):
        await stream.follow(end, 0)
    with pytest.raises(MissedEntries):
        await read(stream, end, await stream.position())


async def test_events_stay_in_the_database_until_they_are_passed_on(
    postgresql: PostgresqlServer, stream: EventStream
) -> None:
    start = await stream.position()
    with postgresql.place() as url:
        async with Store.open(url, shared=True) as store, Store.open(url, shared=True) as other:

            async def change(work: UnitOfWork, body: bytes, *, fail: bool = False) -> None:
                work.outgoing.append(body)
                if fail:
                    raise ValueError

            for body in (b"1", b"2", b"3"):
                await store.write(lambda work, body=body: change(work, body))  # type: ignore[misc]
            with pytest.raises(ValueError):
                await store.write(lambda work: change(work, b"never", fail=True))
            assert store.has_outgoing.is_set()

            async def append_and_die(events: object) -> None:
                await stream.add(events)  # type: ignore[arg-type]
                raise ConnectionError

            with pytest.raises(ConnectionError):
                await store.pass_on_events(append_and_die)
            # Another one goes on; what is in the stream already is not added again.
            passed = await asyncio.gather(*(each.pass_on_events(stream.add) for each in (store, other)))
            assert sorted(passed) == [False, True]
            assert await read(stream, start, await stream.position()) == [b"1", b"2", b"3"]
            assert await store.pass_on_events(stream.add) is False


@pytest.mark.parametrize("is_deleted", [False, True])
@pytest.mark.parametrize("adds_first", [False, True])
@pytest.mark.parametrize("is_next", [False, True])
async def test_an_entry_of_another_program_is_told_and_entries_go_on_behind_it(
    stream: EventStream, server: RedisServer, is_next: bool, adds_first: bool, is_deleted: bool
) -> None:
    await add(stream, b"a")
    end = await stream.position()
    with server.client() as raw:
        foreign = raw.xadd(KEYS.stream, {"other": "x"}, id=f"{end.base}-2" if is_next else f"{end.base + 1}-0")
        if is_deleted:
            raw.xdel(KEYS.stream, foreign)
    if adds_first or is_deleted:  # else nothing is wrong yet
        await add(stream, b"b", b"c")
    if not is_next or adds_first or is_deleted:
        with pytest.raises(MissedEntries):
            await stream.follow(end, 0)
    else:
        assert [entry_id for entry_id, _ in await stream.follow(end, 0)] == [(end.base, 2)]
    start = await stream.position()
    assert start.base > end.base
    with pytest.raises(EngineKeyTaken, match=rf"into the cluster's stream {KEYS.stream}") as caught:
        stream.check_foreign()
    assert (foreign.decode() in str(caught.value)) is not is_deleted
    stream.check_foreign()
    await add(stream, b"d")
    assert [body for _, body in await stream.follow(start, 0)] == [b"d"]
    assert await read(stream, start, await stream.position()) == [b"d"]
    stream.check_foreign()


async def test_another_failure_of_an_entry_is_that_of_redis(stream: EventStream, server: RedisServer) -> None:
    await add(stream, b"a")
    with server.client() as raw:
        raw.set(KEYS.stream, "of another type")
    with pytest.raises(EngineUnusable, match="WRONGTYPE"):
        await add(stream, b"b")
