"""A primary that Sentinels name, and its fail-over to a replica; real servers."""

import asyncio
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import redis

from onesocket.errors import EngineLoginRefused, EngineUnavailable, Fenced
from onesocket.sharing.cluster._coordinator import START, Position, PreviousEpoch, Record
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator
from tests.support.coordinator_checks import close, lead
from tests.support.engine_members import KEY
from tests.support.redis_server import free_port, redis_binary, redis_server, wait_until_ready

PASSWORD = "hunter2"


@contextmanager
def sentinel() -> Iterator[int]:
    """A Sentinel; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sentinel-") as directory:
        config = Path(directory, "sentinel.conf")
        config.write_text(f"port {port}\ndir {directory}\nrequirepass {PASSWORD}\n")
        command = [redis_binary(), str(config), "--sentinel"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        try:
            wait_until_ready(process)
            yield port
        finally:
            process.kill()
            process.communicate()


class Fleet:
    """Two servers, the second one a replica of the first, and a Sentinel that names the primary."""

    def __init__(self, ports: tuple[int, int], watcher: int) -> None:
        self.ports = ports
        self.watcher = redis.Redis(port=watcher, password=PASSWORD)
        self.servers = [redis.Redis(port=port) for port in ports]
        self.watcher.sentinel_monitor("fleet", "127.0.0.1", ports[0], 1)
        self.url = f"redis+sentinel://127.0.0.1:{watcher}/fleet?sentinel_password={PASSWORD}"

    def wait_for_the_replica(self) -> None:
        """Return when the replica has all that the primary has."""
        self.servers[0].set("written", "1")
        assert self.servers[0].wait(1, 10_000) == 1

    def promote_the_replica(self) -> None:
        self.watcher.sentinel_remove("fleet")  # or it would undo this
        self.servers[1].replicaof("NO", "ONE")

    def demote_the_primary(self) -> None:
        """Have the Sentinel name the new primary, as it does after a fail-over."""
        self.servers[0].replicaof("127.0.0.1", self.ports[1])
        self.watcher.sentinel_monitor("fleet", "127.0.0.1", self.ports[1], 1)

    def close(self) -> None:
        for each in (self.watcher, *self.servers):
            each.close()


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    first, second = free_port(), free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_server("--port", str(first), "--repl-diskless-sync-delay", "0"))
        stack.enter_context(redis_server("--port", str(second), "--replicaof", f"127.0.0.1 {first}"))
        running = Fleet((first, second), stack.enter_context(sentinel()))
        stack.callback(running.close)
        yield running


async def test_after_a_fail_over_members_find_the_new_primary(fleet: Fleet) -> None:
    engine = RedisCoordinator(fleet.url)
    a, b = engine.open(KEY, "a"), engine.open(KEY, "b")
    await a.check()
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    assert len(await b.follow(Position(e, 0), START, 1)) == 1
    await asyncio.to_thread(fleet.wait_for_the_replica)
    fleet.promote_the_replica()
    fleet.demote_the_primary()
    with pytest.raises(EngineUnavailable):
        await a.publish(Position(e, 2), b"2")
    await a.publish(Position(e, 2), b"2")
    assert await a.renew(e, 60)
    records: list[Record] = []
    while not records:
        with suppress(EngineUnavailable):  # its connection to the old primary is the first to tell
            records = await b.follow(Position(e, 1), START, 1)
    assert [each.payload for each in records] == [b"2"]
    await close(a, b)


async def test_what_a_fail_over_loses_is_a_gap(fleet: Fleet) -> None:
    engine = RedisCoordinator(fleet.url)
    a, b = engine.open(KEY, "a"), engine.open(KEY, "b")
    e = await lead(a)
    await a.publish(Position(e, 1), b"1")
    await asyncio.to_thread(fleet.wait_for_the_replica)
    fleet.promote_the_replica()
    await a.publish(Position(e, 2), b"lost with the old primary, which accepted it")
    fleet.demote_the_primary()
    with pytest.raises(EngineUnavailable):
        await a.publish(Position(e, 3), b"3")
    with pytest.raises(Fenced, match="lost records"):
        await a.publish(Position(e, 3), b"3")
    f = await lead(a, e, PreviousEpoch.RELEASED)
    await a.publish(Position(f, 1), b"3")
    for read, kinds in ((0, "BATCH BEGAN BATCH"), (1, "BEGAN BATCH"), (2, "MISSED BEGAN BATCH")):
        records = await b.follow(Position(e, read), START, 1)
        assert " ".join(each.kind.name for each in records) == kinds
    await close(a, b)


async def test_a_service_that_the_sentinels_do_not_know_is_unavailable(fleet: Fleet) -> None:
    coordinator = RedisCoordinator(fleet.url.replace("/fleet", "/other")).open(KEY, "a")
    with pytest.raises(EngineUnavailable, match="other"):
        await coordinator.check()
    await coordinator.aclose()


async def test_a_sentinel_that_does_not_answer_leaves_time_for_the_next(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, and nobody reads
        port = silent.getsockname()[1]
        coordinator = RedisCoordinator(fleet.url.replace("//", f"//127.0.0.1:{port},"), timeout=0.9).open(KEY, "a")
        await coordinator.check()
        await coordinator.aclose()


async def test_a_wrong_password_of_the_sentinels_is_a_refused_login(fleet: Fleet) -> None:
    coordinator = RedisCoordinator(fleet.url.replace(PASSWORD, "hunter3")).open(KEY, "a")
    with pytest.raises(EngineLoginRefused, match="sentinel_password") as caught:
        await coordinator.check()
    assert "hunter" not in str(caught.value)
    await coordinator.aclose()
