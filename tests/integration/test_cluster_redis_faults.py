"""Typed errors where a Valkey server can't serve a cluster, or not now; nothing is lost meanwhile."""

import asyncio
import os
import pickle
import re
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from onesocket.errors import (
    CertificateInvalid,
    EngineCommandDenied,
    EngineFull,
    EngineKeyTaken,
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
    MissingExtra,
    OnesocketError,
    TLSFailed,
    VersionMismatch,
)
from onesocket.sharing.cluster._coordinator import START, Coordinator, LeaseInfo, Position, RecordKind
from onesocket.sharing.cluster._redis_check import check_server
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator
from tests.support.coordinator_checks import lead
from tests.support.engine_members import REDIS_BASE as BASE
from tests.support.engine_members import error_of_check, opened
from tests.support.redis_server import RedisServer, redis_server

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster-redis.md"
# What the document tells an operator to allow.
COMMANDS = re.findall(r"\+[a-z]+", re.findall("ACL SETUSER .*", DOCUMENT.read_text("utf-8"))[0])


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def server(shared_server: RedisServer) -> Iterator[RedisServer]:
    with shared_server.client() as client:
        client.flushall()
        yield shared_server
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("min-replicas-to-write", "0")
        client.replicaof("NO", "ONE")
        client.execute_command("ACL", "DELUSER", "member")


@pytest.fixture
def raw(server: RedisServer) -> Iterator[Any]:
    """A client that is not ours."""
    with server.client() as client:
        yield client


def member(url: str, name: str = "a", *, timeout: float = 5) -> AbstractAsyncContextManager[Coordinator]:
    return opened(RedisCoordinator(url, timeout=timeout), name)


def login(server: RedisServer, name: str, password: str) -> str:
    return server.url.replace("unix://", f"unix://{name}:{password}@")


async def check_error(url: str, kind: type[OnesocketError]) -> Any:
    return await error_of_check(member(url), kind)


async def test_a_server_that_can_serve_passes_the_check_and_keeps_nothing_of_it(server: RedisServer, raw: Any) -> None:
    async with member(server.url) as coordinator:
        await coordinator.check()
        await coordinator.acquire(9, 0)
        await coordinator.check()
    assert raw.exists(BASE + "probe") == 0


async def test_a_wrong_password_is_a_refused_login(server: RedisServer, raw: Any) -> None:
    raw.execute_command("ACL", "SETUSER", "member", "on", ">hunter2", "~*", "+@all")
    for url in (login(server, "member", "hunter3"), login(server, "stranger", "hunter3"), login(server, "", "hunter3")):
        async with member(url) as coordinator:
            for operation in (coordinator.check(), coordinator.acquire(9, 0)):
                with pytest.raises(EngineLoginRefused) as caught:
                    await operation
                assert not caught.value.retryable
                assert "hunter" not in f"{caught.value}{coordinator!r}{caught.value.__dict__}"
                assert server.path in str(caught.value)


async def test_a_missing_password_is_a_refused_login(server: RedisServer) -> None:
    with redis_server("--requirepass", "hunter2") as closed:
        await check_error(closed.url, EngineLoginRefused)
        async with member(login(closed, "", "hunter2")) as coordinator:
            await coordinator.check()


async def test_a_member_needs_no_other_right_than_the_documented_ones(server: RedisServer, raw: Any) -> None:
    raw.execute_command("ACL", "SETUSER", "member", "on", ">x", "~onesocket:*", "-@all", *COMMANDS)
    async with member(login(server, "member", "x")) as a, member(login(server, "member", "x"), "b") as b:
        await a.check()
        e = await lead(a)
        await a.renew(e, 9)
        await a.publish(Position(e, 1), b"x")
        await b.submit(Position(e, 1), b"x")
        (mail,) = await a.take(Position(e, 0), 1)
        await a.take(mail.position, 0)
        await a.answer("b", Position(e, 1), b"x")
        assert len(await b.follow(Position(e, 0), START, 1)) == 2
        await b.lease()
        await a.release(Position(e, 2))


@pytest.mark.parametrize("command", [each[1:] for each in COMMANDS])
async def test_a_command_that_access_rules_deny_is_named(command: str, server: RedisServer, raw: Any) -> None:
    async with member(server.url) as other:
        await other.check()  # so that the server has the scripts, which it may forget
    rights = [each for each in COMMANDS if each != f"+{command}"]
    raw.execute_command("ACL", "SETUSER", "member", "on", ">x", "~onesocket:*", "-@all", *rights)
    error = await check_error(login(server, "member", "x"), EngineCommandDenied)
    assert error.command == command
    assert f"+{command}" in str(error)


async def test_keys_that_access_rules_deny_are_named(server: RedisServer, raw: Any) -> None:
    raw.execute_command("ACL", "SETUSER", "member", "on", ">x", "~other:*", "+@all")
    error = await check_error(login(server, "member", "x"), EngineCommandDenied)
    assert "add ~onesocket:*" in str(error)


@pytest.mark.parametrize("name", ["lease", "state", "feed", "mailbox", "members", "answers:a"])
async def test_a_key_of_another_type_is_named_and_left_alone(name: str, server: RedisServer, raw: Any) -> None:
    raw.lpush(BASE + name, "precious")
    error = await check_error(server.url, EngineKeyTaken)
    assert error.key == BASE + name
    assert error.key in str(error)
    if name in ("lease", "state", "feed"):
        async with member(server.url) as coordinator:
            with pytest.raises(EngineKeyTaken, match="list"):
                await coordinator.acquire(9, 0)
    assert raw.lrange(BASE + name, 0, -1) == [b"precious"]
    assert raw.dbsize() == 1


@pytest.mark.parametrize(
    ("name", "value"), [("lease", "hello"), ("lease", "5 a-lease-that-does-not-end"), ("state", "abc")]
)
async def test_a_value_of_another_program_is_named_and_left_alone(
    name: str, value: str, server: RedisServer, raw: Any
) -> None:
    if name == "state":
        raw.hset(BASE + name, "epoch", value)
    else:
        raw.set(BASE + name, value)
    async with member(server.url) as coordinator:
        for operation in (coordinator.check(), coordinator.acquire(9, 0), coordinator.lease()):
            with pytest.raises(EngineKeyTaken, match="did not write") as caught:
                await operation
            assert caught.value.key == BASE + name
    assert raw.dbsize() == 1
    raw.hset(BASE + "state", "format", "7")  # another release may write what it likes
    async with member(server.url) as coordinator:
        with pytest.raises(VersionMismatch):
            await coordinator.lease()


async def test_a_login_slot_of_another_type_is_named(server: RedisServer, raw: Any) -> None:
    raw.lpush("onesocket:slots:name", "precious")
    async with member(server.url) as coordinator:
        with pytest.raises(EngineKeyTaken) as caught:
            await coordinator.reserve_slot("name", 5, 0)
    assert caught.value.key == "onesocket:slots:name"
    assert raw.lrange("onesocket:slots:name", 0, -1) == [b"precious"]


async def test_keys_of_a_release_with_another_format_are_refused(server: RedisServer, raw: Any) -> None:
    raw.hset(BASE + "state", "format", "7")
    async with member(server.url) as coordinator:
        for operation in (coordinator.check(), coordinator.acquire(9, 0), coordinator.lease()):
            with pytest.raises(VersionMismatch) as caught:
                await operation
            assert (caught.value.ours, caught.value.theirs) == (1, 7)
    assert raw.dbsize() == 1


async def test_a_database_that_is_not_there_is_refused(server: RedisServer) -> None:
    error = await check_error(server.url + "?db=99", EngineUnusable)
    assert "DB index" in str(error)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_evicts_keys_is_refused(policy: str, server: RedisServer, raw: Any) -> None:
    raw.config_set("maxmemory-policy", policy)
    raw.config_set("maxmemory", "100mb")
    error = await check_error(server.url, EngineUnusable)
    assert "set maxmemory-policy noeviction" in str(error)
    raw.config_set("maxmemory", "0")  # then it evicts nothing
    async with member(server.url) as coordinator:
        await coordinator.check()


@pytest.mark.parametrize(
    ("info", "text"),
    [
        ({"redis_version": "6.2.14"}, "Redis 6.2.14"),
        ({}, "Redis 0"),
        ({"redis_version": "7.2.4", "cluster_enabled": 1}, "Redis Cluster"),
    ],
)
def test_a_server_of_another_kind_is_refused(info: dict[str, Any], text: str) -> None:
    with pytest.raises(EngineUnusable, match=text):
        check_server(info, "redis://host")


async def test_a_replica_is_refused(server: RedisServer, raw: Any) -> None:
    raw.replicaof("127.0.0.1", "1")
    await check_error(server.url, EngineUnusable)
    async with member(server.url) as coordinator:
        with pytest.raises(EngineUnavailable):
            await coordinator.acquire(9, 0)


async def test_without_memory_writes_are_refused_and_nothing_is_lost(server: RedisServer, raw: Any) -> None:
    async with member(server.url) as a, member(server.url, "b") as b:
        e = await lead(a)
        await a.publish(Position(e, 1), b"1")
        await b.submit(Position(e, 1), b"mail 1")
        raw.config_set("maxmemory", "1")
        for write in (
            a.publish(Position(e, 2), b"2"),
            a.answer("b", Position(e, 1), b"answer"),
            b.submit(Position(e, 2), b"mail 2"),
        ):
            with pytest.raises(EngineFull) as caught:
                await write
            assert caught.value.retryable
        assert await a.renew(e, 9)
        assert len(await b.follow(Position(e, 0), START, 0)) == 1
        raw.config_set("maxmemory", "0")
        await a.publish(Position(e, 2), b"2")
        await a.answer("b", Position(e, 1), b"answer")
        await b.submit(Position(e, 2), b"mail 2")
        assert [each.payload for each in await b.follow(Position(e, 0), START, 0)] == [b"1", b"2", b"answer"]
        assert [each.payload for each in await a.take(Position(e, 0), 0)] == [b"mail 1", b"mail 2"]


async def test_without_memory_a_lease_can_be_released_but_not_acquired(server: RedisServer, raw: Any) -> None:
    async with member(server.url) as a, member(server.url, "b") as b:
        e = await lead(a)
        raw.config_set("maxmemory", "1")
        await a.release(Position(e, 1))
        assert await b.lease() is None
        before = sorted(raw.keys())
        with pytest.raises(EngineFull):
            await b.acquire(9, e)
        assert sorted(raw.keys()) == before
        raw.config_set("maxmemory", "0")
        await lead(b, e)
        records = await a.follow(Position(e, 0), START, 0)
        assert [each.kind for each in records] == [RecordKind.ENDED, RecordKind.BEGAN]


async def test_without_its_replicas_a_server_is_unavailable(server: RedisServer, raw: Any) -> None:
    raw.config_set("min-replicas-to-write", "1")
    async with member(server.url) as coordinator:
        for operation in (coordinator.check(), coordinator.acquire(9, 0)):
            with pytest.raises(EngineUnavailable):
                await operation


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///nowhere/socket", "redis+sentinel://127.0.0.1:1/m"])
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    async with member(url) as coordinator:
        for operation in (coordinator.check(), coordinator.follow(START, START, 1), coordinator.take(START, 1)):
            with pytest.raises(EngineUnavailable) as caught:
                await operation
            assert caught.value.retryable
            assert url.partition("//")[2] in str(caught.value)


async def test_a_server_that_stands_still_or_ends_is_unavailable() -> None:
    with redis_server() as running:
        async with member(running.url) as a:
            e = await lead(a)
        async with member(running.url, timeout=0.05) as a, member(running.url, "b", timeout=0.05) as b:
            os.kill(running.process.pid, signal.SIGSTOP)
            with pytest.raises(EngineUnavailable, match=r"within 0\.05 s"):
                await a.renew(e, 9)
            with pytest.raises(EngineUnavailable):
                await b.follow(Position(e, 0), START, 0.01)
            os.kill(running.process.pid, signal.SIGCONT)
        async with member(running.url) as a, member(running.url, "b") as b:
            await a.publish(Position(e, 1), b"x")
            reading = asyncio.create_task(b.follow(Position(e, 1), START, 30))
            await b.lease()  # the read is under way
            running.process.kill()
            with pytest.raises(EngineUnavailable):
                await reading
            with pytest.raises(EngineUnavailable):
                await a.publish(Position(e, 2), b"x")
        async with member(running.url) as a:
            await a.aclose()
            with pytest.raises(EngineUnavailable, match="closed"):
                await a.lease()


async def test_a_lease_that_a_clock_set_back_has_lengthened_ends_in_its_time(server: RedisServer) -> None:
    """Its holder may be gone: without that, nobody would lead until the clock is where it was."""
    async with member(server.url) as a, member(server.url, "b") as b:
        await a.acquire(9, 0)
        with server.client() as raw:
            raw.pexpire(BASE + "lease", 3_600_000)  # the end of a lease is a time of the clock
            held = await b.acquire(30, 0)
            assert isinstance(held, LeaseInfo)
            assert held.remaining == 9
            assert raw.pttl(BASE + "lease") <= 9000
            raw.pexpire(BASE + "lease", 4000)
            held = await b.acquire(1, 0)
            assert isinstance(held, LeaseInfo)
            assert held.remaining > 3  # the one who asks has no say in that


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def tls_in_front_of(server: RedisServer, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A TLS endpoint that passes the bytes on, as in front of a managed server; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, down = await asyncio.open_unix_connection(server.path)
        tasks.update((asyncio.create_task(copy(reader, down)), asyncio.create_task(copy(upstream, writer))))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_behind_tls_is_verified(server: RedisServer, authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    async with tls_in_front_of(server, context) as port:
        async with member(f"rediss://127.0.0.1:{port}?ca={ca}") as coordinator:
            await coordinator.check()
            await coordinator.acquire(9, 0)
        await check_error(f"rediss://127.0.0.1:{port}", CertificateInvalid)
        await check_error(f"rediss://localhost:{port}?ca={ca}", CertificateInvalid)
        error = await check_error(f"rediss://127.0.0.1:{port}?ca={tmp_path}/nothing.pem", EngineLoginRefused)
        assert "the PEM files in the URL (ca) can't be used: No such file" in str(error)


async def test_tls_to_a_port_without_it_fails_with_a_hint() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"-ERR unknown command\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    error = await check_error(f"rediss://127.0.0.1:{port}", TLSFailed)
    assert "does that port speak TLS?" in str(error)
    listener.close()


def test_the_engine_shows_no_secret_and_can_be_pickled() -> None:
    engine = RedisCoordinator("rediss://user:hunter2@host/3", timeout=7)
    assert f"{engine} {engine!r}" == "rediss://host:6379 <RedisCoordinator rediss://host:6379>"
    copy = pickle.loads(pickle.dumps(engine))  # noqa: S301 - our own
    assert copy._address == engine._address


def test_without_redis_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis" or "_redis_client" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingExtra, match=r'pip install "onesocket\[redis\]"'):
        RedisCoordinator("redis://host")
