"""Typed errors where a NATS server can't serve a cluster, or not now; nothing is lost meanwhile."""

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from nats.aio.client import Client

from onesocket.errors import (
    CertificateInvalid,
    EngineCommandDenied,
    EngineFull,
    EngineKeyTaken,
    EngineLoginRefused,
    EngineUnavailable,
    EngineUnusable,
    Fenced,
    InvalidOption,
    MissingExtra,
    OnesocketError,
    TLSFailed,
    VersionMismatch,
)
from onesocket.sharing.cluster._coordinator import START, Coordinator, Lease, LeaseInfo, Position, PreviousEpoch
from onesocket.sharing.cluster._nats_client import NatsClient
from onesocket.sharing.cluster._nats_connection import NatsConnection, NatsMessage
from onesocket.sharing.cluster._nats_coordinator import NatsCoordinator
from onesocket.sharing.cluster._nats_errors import NO_RESPONDERS, NatsRefused
from onesocket.sharing.cluster._nats_lease import NatsLease
from tests.support.coordinator_checks import follow_all, lead, take_all
from tests.support.engine_members import NATS_BASE as BASE
from tests.support.engine_members import NATS_STREAM as STREAM
from tests.support.engine_members import error_of_check, opened
from tests.support.nats_server import NatsServer, ask, delete_streams, nats_server

# What docs and errors tell an operator to allow.
SUBJECTS = [
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.PURGE.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.CONSUMER.CREATE.*.*",
    "$JS.FC.>",
    "onesocket.>",
]


def user(name: str, publish: list[str], subscribe: str = "_INBOX.>") -> str:
    allowed = ", ".join(f'"{each}"' for each in publish)
    return f'{{user: {name}, password: hunter2, permissions: {{publish: [{allowed}], subscribe: ["{subscribe}"]}}}}'


USERS = [
    "{user: root, password: hunter2}",
    user("member", SUBJECTS),
    user("deaf", SUBJECTS, "other.>"),
    *(user(f"without{n}", [each for each in SUBJECTS if each != left]) for n, left in enumerate(SUBJECTS)),
]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[NatsServer]:
    with nats_server(f"jetstream: {{}}\nauthorization: {{users: [{', '.join(USERS)}]}}") as running:
        yield running


@pytest.fixture
async def raw(shared_server: NatsServer) -> AsyncIterator[Client]:
    """A client that is not ours, on a server without streams."""
    client = await shared_server.client(user="root", password="hunter2")
    await delete_streams(client)
    yield client
    await client.close()


@pytest.fixture
def server(shared_server: NatsServer, raw: Client) -> NatsServer:
    return shared_server


def member(url: str, name: str = "a", *, timeout: float = 5) -> AbstractAsyncContextManager[Coordinator]:
    return opened(NatsCoordinator(url, timeout=timeout), name)


def login(server: NatsServer, name: str = "root") -> str:
    return server.url.replace("nats://", f"nats://{name}:hunter2@")


async def check_error(url: str, kind: type[OnesocketError]) -> Any:
    return await error_of_check(member(url), kind)


async def test_a_stream_that_no_server_leads_for_now_is_an_engine_that_is_away(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with member(login(server)) as coordinator:
        e = await lead(coordinator)

        async def write(_: object, message: NatsMessage, *before: NatsMessage) -> int:
            raise NatsRefused(message.subject, 503, NO_RESPONDERS, "nobody answers there")

        monkeypatch.setattr(NatsClient, "write", write)
        with pytest.raises(EngineUnavailable, match="no server leads the stream now"):
            await coordinator.publish(Position(e, 1), b"x")


async def test_a_server_that_can_serve_passes_the_check_which_writes_nothing(server: NatsServer, raw: Client) -> None:
    async with member(login(server)) as coordinator:
        await coordinator.check()
        e = await lead(coordinator)
        await coordinator.publish(Position(e, 1), b"x")

        async def newest(stream: str) -> int:
            state: dict[str, int] = (await ask(raw, f"STREAM.INFO.{stream}"))["state"]
            return state["last_seq"]

        before = await newest(STREAM)
        await coordinator.check()
        assert await newest(STREAM) == before
        mailbox = (await ask(raw, f"STREAM.INFO.{STREAM}-mailbox"))["state"]
        assert mailbox["last_seq"] == mailbox["first_seq"] - 1


@pytest.mark.parametrize("text", ["root:hunter3", "stranger:hunter3", "hunter3", ""])
async def test_a_wrong_login_is_refused(text: str, server: NatsServer) -> None:
    url = server.url.replace("nats://", f"nats://{text}@")
    error = await check_error(url, EngineLoginRefused)
    assert not error.retryable
    assert server.url in str(error)
    async with member(url) as coordinator:
        with pytest.raises(EngineLoginRefused):
            await coordinator.acquire(9, 0)


async def test_a_token_is_a_login() -> None:
    with nats_server("jetstream: {}\nauthorization: {token: hunter2}") as running:
        async with member(running.url.replace("nats://", "nats://hunter2@")) as coordinator:
            await coordinator.check()
        await check_error(running.url.replace("nats://", "nats://hunter3@"), EngineLoginRefused)


async def test_a_member_needs_no_other_right_than_the_documented_ones(server: NatsServer) -> None:
    async with member(login(server, "member")) as a, member(login(server, "member"), "b") as b:
        await a.check()
        e = await lead(a)
        assert await b.follow(Position(e, 0), START, 0) == []
        await a.renew(e, 9)
        for number in range(1, 9):  # so much that the server asks whether it may push more
            await a.publish(Position(e, number), b"x" * 1_000_000)
        assert len(await follow_all(b, Position(e, 0), 8)) == 8
        await b.submit(Position(e, 1), b"x")
        (mail,) = await take_all(a, Position(e, 0), 1)
        await a.take(mail.position, 0)
        await a.answer("b", Position(e, 1), b"x")
        assert len(await follow_all(b, Position(e, 8), 1)) == 1
        await b.lease()
        await a.release(Position(e, 9))
        await lead(a, e)


@pytest.mark.parametrize("number", range(len(SUBJECTS)))
async def test_a_subject_that_access_rules_deny_is_named(number: int, server: NatsServer) -> None:
    error = await check_error(login(server, f"without{number}"), EngineCommandDenied)
    start = SUBJECTS[number].partition("*")[0].rstrip(">")
    assert error.command.startswith(start)
    assert f"publish to {start}" in str(error)


async def test_answers_that_access_rules_deny_are_named(server: NatsServer) -> None:
    error = await check_error(login(server, "deaf"), EngineCommandDenied)
    assert error.command.startswith("_INBOX.")
    assert "subscribe to _INBOX." in str(error)


FOREIGN = [
    ({"name": STREAM, "subjects": ["orders.*"]}, STREAM, "not one of onesocket"),
    ({"name": f"{STREAM}-mailbox", "subjects": ["orders.*"]}, f"{STREAM}-mailbox", "not one of onesocket"),
    ({"name": "orders", "subjects": [BASE + "feed"]}, STREAM, "another stream"),
    ({"name": "orders", "subjects": ["onesocket.>"]}, STREAM, "another stream"),
]


@pytest.mark.parametrize(("config", "key", "text"), FOREIGN)
async def test_a_stream_of_another_program_is_named_and_left_alone(
    config: dict[str, Any], key: str, text: str, server: NatsServer, raw: Client
) -> None:
    assert "error" not in await ask(raw, f"STREAM.CREATE.{config['name']}", **config)
    subject = config["subjects"][0].replace("*", "x").replace(">", "x")
    await raw.jetstream().publish(subject, b"precious")
    error = await check_error(login(server), EngineKeyTaken)
    assert error.key == key
    assert text in str(error)
    assert "another prefix" in str(error)
    async with member(login(server)) as coordinator:
        with pytest.raises(EngineKeyTaken):
            await coordinator.acquire(9, 0)
    assert (await ask(raw, f"STREAM.INFO.{config['name']}"))["state"]["messages"] == 1


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        (STREAM, {"subjects": [BASE + "feed"]}, "does not have the subjects"),
        (STREAM, {"discard": "old"}, "has discard 'old' instead of 'new'"),
        (STREAM, {"allow_msg_ttl": False}, "has allow_msg_ttl"),
        (STREAM, {"retention": "interest"}, "has retention 'interest'"),
        (f"{STREAM}-mailbox", {"discard": "old"}, "has discard 'old' instead of 'new'"),
        (f"{STREAM}-mailbox", {"deny_purge": True}, "has deny_purge"),
    ],
)
async def test_a_stream_that_was_made_otherwise_is_refused(
    name: str, change: dict[str, Any], text: str, server: NatsServer, raw: Client
) -> None:
    async with member(login(server)) as coordinator:
        await coordinator.check()
    config = (await ask(raw, f"STREAM.INFO.{name}"))["config"]
    await ask(raw, f"STREAM.DELETE.{name}")
    assert "error" not in await ask(raw, f"STREAM.CREATE.{name}", **config | change)
    assert text in str(await check_error(login(server), EngineKeyTaken))


async def test_an_operator_may_choose_limits_and_storage(server: NatsServer, raw: Client) -> None:
    async with member(login(server)) as coordinator:
        await coordinator.check()
    config = (await ask(raw, f"STREAM.INFO.{STREAM}"))["config"]
    await ask(raw, f"STREAM.DELETE.{STREAM}")
    limits = {"storage": "memory", "max_bytes": 10_000_000, "max_msgs_per_subject": 7, "max_age": 86_400 * 10**9}
    assert "error" not in await ask(raw, f"STREAM.CREATE.{STREAM}", **config | limits)
    async with member(login(server)) as coordinator:
        await coordinator.check()
        await lead(coordinator)


async def test_streams_of_a_release_with_another_format_are_refused(server: NatsServer, raw: Client) -> None:
    config = {"name": STREAM, "subjects": [BASE + "feed"], "metadata": {"onesocket.format": "7"}}
    await ask(raw, f"STREAM.CREATE.{STREAM}", **config)
    async with member(login(server)) as coordinator:
        for operation in (coordinator.check(), coordinator.acquire(9, 0), coordinator.lease()):
            with pytest.raises(VersionMismatch) as caught:
                await operation
            assert (caught.value.ours, caught.value.theirs) == (1, 7)


@pytest.mark.parametrize("name", ["lease", "feed", "mailbox"])
async def test_messages_of_another_program_are_named(name: str, server: NatsServer, raw: Client) -> None:
    async with member(login(server)) as a, member(login(server), "b") as b:
        e = await lead(a)
        subject = f"{BASE}mailbox.{e}" if name == "mailbox" else BASE + name
        await raw.jetstream().publish(subject, b"hello")
        with pytest.raises(EngineUnusable, match="none of onesocket's") as caught:
            await (a.take(Position(e, 0), 9) if name == "mailbox" else b.acquire(9, 0))
        assert subject in str(caught.value)


@pytest.mark.parametrize("version", ["2.9.10", "2.12.0", "2.11.4-beta.1", "0"])
async def test_an_old_server_is_refused(version: str, server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NatsConnection, "version", version)
    assert "2.12.1 or newer" in str(await check_error(login(server), EngineUnusable))


async def test_a_server_that_takes_only_small_messages_is_refused() -> None:
    with nats_server("jetstream: {}\nmax_payload: 65536") as running:
        assert "set max_payload" in str(await check_error(running.url, EngineUnusable))


async def test_a_server_without_jetstream_is_refused() -> None:
    with nats_server("") as running:
        assert "-js" in str(await check_error(running.url, EngineUnusable))
        async with member(running.url) as coordinator:
            for operation in (coordinator.acquire(9, 0), coordinator.lease(), coordinator.follow(START, START, 1)):
                with pytest.raises(EngineUnusable):
                    await operation


async def test_an_account_without_jetstream_or_room_for_streams_is_refused() -> None:
    accounts = """
    jetstream: {}
    accounts: {
      none: {users: [{user: none, password: hunter2}]}
      one: {users: [{user: one, password: hunter2}], jetstream: {max_streams: 1}}
    }"""
    with nats_server(accounts) as running:
        assert "enable it for the account" in str(await check_error(login(running, "none"), EngineUnusable))
        assert "max_streams" in str(await check_error(login(running, "one"), EngineUnusable))


async def test_without_room_writes_are_refused_and_nothing_is_lost(server: NatsServer, raw: Client) -> None:
    async with member(login(server)) as a, member(login(server), "b") as b:
        e = await lead(a)
        await a.publish(Position(e, 1), b"1")
        await b.submit(Position(e, 1), b"mail 1")
        for name in (STREAM, f"{STREAM}-mailbox"):
            await limit(raw, name, 1000)
        for write in (
            a.publish(Position(e, 2), b"2" * 2000),
            a.answer("b", Position(e, 1), b"answer" * 500),
            b.submit(Position(e, 2), b"mail 2" * 500),
        ):
            with pytest.raises(EngineFull, match="max_bytes") as caught:
                await write
            assert caught.value.retryable
        assert [each.payload for each in await follow_all(b, Position(e, 0), 1)] == [b"1"]
        for name in (STREAM, f"{STREAM}-mailbox"):
            await limit(raw, name, -1)
        await a.publish(Position(e, 2), b"2")
        await a.answer("b", Position(e, 1), b"answer")
        await b.submit(Position(e, 2), b"mail 2")
        assert [each.payload for each in await follow_all(b, Position(e, 1), 2)] == [b"2", b"answer"]
        assert [each.payload for each in await take_all(a, Position(e, 0), 2)] == [b"mail 1", b"mail 2"]


async def limit(raw: Client, name: str, size: int) -> None:
    config = (await ask(raw, f"STREAM.INFO.{name}"))["config"]
    assert "error" not in await ask(raw, f"STREAM.UPDATE.{name}", **config | {"max_bytes": size})


async def test_a_server_whose_disk_is_used_up_is_full() -> None:
    with nats_server("jetstream: {max_file: 200KB}") as running:
        async with member(running.url) as a:
            e = await lead(a)

            async def fill() -> None:
                for number in range(1, 9):
                    await a.publish(Position(e, number), b"x" * 50_000)

            with pytest.raises(EngineFull) as caught:
                await fill()
            assert "max_file" in str(caught.value)


@pytest.mark.parametrize("url", ["nats://127.0.0.1:1", "tls://127.0.0.1:1", "nats://127.0.0.1:1,127.0.0.1:2"])
async def test_a_server_that_is_not_there_is_unavailable(url: str) -> None:
    async with member(url) as coordinator:
        for operation in (coordinator.check(), coordinator.follow(START, START, 1), coordinator.take(START, 1)):
            with pytest.raises(EngineUnavailable) as caught:
                await operation
            assert caught.value.retryable
            assert url in str(caught.value)


async def test_a_proxy_without_its_server_is_unavailable() -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        error = await check_error(f"nats://127.0.0.1:{port}", EngineUnavailable)
        assert "it closed the connection at once" in str(error)


async def test_the_next_server_is_tried(server: NatsServer) -> None:
    async with member(login(server).replace("127.0.0.1", "127.0.0.1:1,127.0.0.1")) as coordinator:
        await coordinator.check()


@pytest.mark.parametrize("hello", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n"])
async def test_a_port_that_speaks_something_else_is_unusable(hello: bytes) -> None:
    async with pretender(hello) as (port, _):
        assert "does not speak NATS" in str(await check_error(f"nats://127.0.0.1:{port}", EngineUnusable))


async def test_a_server_that_stands_still_or_ends_is_unavailable() -> None:
    with nats_server() as running:
        async with member(running.url) as a, member(running.url, "b", timeout=0.05) as b:
            e = await lead(a)
            reading = asyncio.create_task(a.follow(Position(e, 0), START, 30))
            await a.lease()  # the read is under way
            os.kill(running.process.pid, signal.SIGSTOP)
            os.waitpid(running.process.pid, os.WUNTRACED)  # noqa: ASYNC222 - at once
            with pytest.raises(EngineUnavailable, match=r"within 0\.05 s"):
                await b.check()
            os.kill(running.process.pid, signal.SIGCONT)
            running.process.kill()
            with pytest.raises(EngineUnavailable):
                await reading
            with pytest.raises(EngineUnavailable):
                await a.publish(Position(e, 1), b"x")
        async with member(running.url) as a:
            await a.aclose()
            with pytest.raises(EngineUnavailable, match="closed"):
                await a.lease()


async def test_a_lease_that_a_clock_set_back_has_lengthened_ends_in_its_time(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its holder may be gone: without that, nobody would lead until the clock is where it was."""
    async with member(login(server)) as a, member(login(server), "b") as b:
        lease = await a.acquire(9, 0)
        assert isinstance(lease, Lease)
        now, clock = 1000.0, NatsLease.time

        async def set_back(lease: NatsLease) -> datetime:
            return await clock(lease) - timedelta(hours=1)

        monkeypatch.setattr(NatsLease, "time", set_back)
        monkeypatch.setattr("onesocket.sharing.cluster._nats_lease.boot_time", lambda: now)
        held = await b.acquire(9, 0)
        assert isinstance(held, LeaseInfo)
        assert held.remaining <= 9
        now += 8
        assert await a.renew(lease.epoch, 9)
        assert isinstance(await b.acquire(9, 0), LeaseInfo)
        now += 9
        assert isinstance(await b.acquire(9, 0), LeaseInfo)  # that of the renewal has some time left
        now += 0.1
        taken = await b.acquire(9, 0)
        assert isinstance(taken, Lease)
        assert taken.previous is PreviousEpoch.EXPIRED
        with pytest.raises(Fenced):
            await a.publish(Position(lease.epoch, 1), b"late")


async def test_a_lease_is_another_one_where_an_older_state_of_the_stream_has_given_its_number_again(
    server: NatsServer, raw: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("onesocket.sharing.cluster._nats_lease.boot_time", lambda: now)
    async with member(login(server)) as a, member(login(server), "b") as b, member(login(server), "c") as c:
        await a.acquire(9, 0)
        assert isinstance(await b.acquire(9, 0), LeaseInfo)
        config = (await ask(raw, f"STREAM.INFO.{STREAM}"))["config"]
        number = (await ask(raw, f"STREAM.MSG.GET.{STREAM}", last_by_subj=BASE + "lease"))["message"]["seq"]
        await ask(raw, f"STREAM.DELETE.{STREAM}")
        assert "error" not in await ask(raw, f"STREAM.CREATE.{STREAM}", **{**config, "first_seq": number})
        now += 60
        assert isinstance(await c.acquire(9, 0), Lease)
        again = (await ask(raw, f"STREAM.MSG.GET.{STREAM}", last_by_subj=BASE + "lease"))["message"]["seq"]
        assert again == number
        held = await b.acquire(9, 0)
        assert isinstance(held, LeaseInfo)
        assert held.member == "c"


async def test_a_server_behind_tls_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served, own = authority.issue_cert("127.0.0.1"), authority.issue_cert("member")
    for name, issued in (("server", served), ("member", own)):
        issued.private_key_pem.write_to_path(tmp_path / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.pem")
    tls = f'cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key", ca_file: "{tmp_path}/ca.pem"'
    with nats_server(f"jetstream: {{}}\ntls: {{{tls}}}") as running:
        url = running.url.replace("nats://", "tls://")
        async with member(f"{url}?ca={tmp_path}/ca.pem") as coordinator:
            await coordinator.check()
            await lead(coordinator)
        await check_error(url, CertificateInvalid)
        await check_error(url.replace("127.0.0.1", "localhost") + f"?ca={tmp_path}/ca.pem", CertificateInvalid)
        error = await check_error(f"{url}?ca={tmp_path}/nothing.pem", EngineLoginRefused)
        assert "PEM files in the URL (ca)" in str(error)
        assert "speaks TLS: write tls://" in str(await check_error(running.url, CertificateInvalid))
    with nats_server(f"jetstream: {{}}\ntls: {{{tls}, verify: true}}") as running:
        url = running.url.replace("nats://", "tls://") + f"?ca={tmp_path}/ca.pem"
        async with member(f"{url}&cert={tmp_path}/member.pem&key={tmp_path}/member.key") as coordinator:
            await coordinator.check()
        assert "?cert=" in str(await check_error(url, EngineLoginRefused))


@pytest.mark.parametrize("text", ["user:hunter2", "hunter2", ""])
async def test_no_secret_goes_to_a_server_without_tls(text: str) -> None:
    async with pretender(b'INFO {"version":"2.15.0","max_payload":1048576}\r\n') as (port, received):
        error = await check_error(f"tls://{text}@127.0.0.1:{port}", TLSFailed)
        assert "does not offer TLS" in str(error)
    assert b"hunter2" not in received


@pytest.mark.parametrize(
    ("scheme", "remedy"), [("nats", 'set it to "auto" there, and write tls://'), ("tls", 'set it to "auto" there')]
)
async def test_a_server_that_says_nothing_may_wait_for_tls(scheme: str, remedy: str) -> None:
    async with pretender(b"") as (port, _), member(f"{scheme}://127.0.0.1:{port}", timeout=0.05) as coordinator:
        with pytest.raises(EngineUnavailable) as caught:
            await coordinator.check()
    assert str(caught.value).endswith(f"if that server waits for TLS (handshake_first), {remedy}")


async def test_a_host_that_accepts_no_connection_is_not_said_to_wait_for_tls() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(3):  # one waits to be accepted, and for others there is no room: no answer at all
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        async with member(f"nats://127.0.0.1:{full.getsockname()[1]}", timeout=0.05) as coordinator:
            with pytest.raises(EngineUnavailable) as caught:
                await coordinator.check()
    assert "TLS" not in str(caught.value)


@asynccontextmanager
async def pretender(hello: bytes) -> AsyncIterator[tuple[int, bytearray]]:
    """A port that says `hello`, answers each PING, and keeps what it receives."""
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hello)
        while line := await reader.readline():
            received.extend(line)
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], received
    finally:
        listener.close()


def test_the_engine_shows_no_secret_and_can_be_pickled() -> None:
    engine = NatsCoordinator("tls://user:hunter2@host,[::1]:1", timeout=7, replicas=3)
    assert f"{engine} {engine!r}" == "tls://host:4222,[::1]:1 <NatsCoordinator tls://host:4222,[::1]:1>"
    copy = pickle.loads(pickle.dumps(engine))  # noqa: S301 - our own
    assert copy._address == engine._address


@pytest.mark.parametrize("replicas", [0, 6, True, 2.5])
def test_replicas_out_of_range_are_refused(replicas: Any) -> None:
    with pytest.raises(InvalidOption):
        NatsCoordinator("nats://host", replicas=replicas)


def test_without_nats_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "nats" or "cluster._nats_" in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingExtra, match=r'pip install "onesocket\[nats\]"'):
        NatsCoordinator("nats://host")
