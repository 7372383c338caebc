"""Processes that would dial or log in differently don't share. The *server* says who came, and as whom."""

import asyncio
import os
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from onesocket.protocols.fingerprint import digest
from onesocket.sharing.agreement import first_difference, proofs_of
from onesocket.sharing.host import frames
from onesocket.testing import FaultyConnection, FaultyServer
from tests.integration.talking_process import DEADLINE, Process

WORKER = Path(__file__).with_name("agreement_worker.py")
SECRETS = ("alice-s3cret", "bob-s3cret")
ALICE, BOB = ({"headers": {"X-Api-Key": secret}} for secret in SECRETS)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


class Ledger:
    """A server that keeps the account of each upgrade, and from which account each message came."""

    def __init__(self, **options: Any) -> None:
        self.accounts: list[str | None] = []
        self.offers: list[str | None] = []
        self.messages: list[tuple[str | None, str]] = []
        self.server = FaultyServer(on_message=self.took, **options)
        self.server.faults = self.came

    def came(self, connection: FaultyConnection) -> None:
        self.accounts.append(connection.request_headers.get("X-Api-Key"))
        self.offers.append(connection.request_headers.get("Sec-WebSocket-Protocol"))

    def took(self, connection: FaultyConnection, message: str | bytes) -> None:
        self.messages.append((connection.request_headers.get("X-Api-Key"), str(message)))


class Crowd:
    """The processes of one test."""

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self.ledger = ledger
        self.directory = directory
        self.processes: list[Process] = []

    async def start(self, options: dict[str, Any], *, who: str = "nobody", url: str = "") -> Process:
        setup = {"url": url or self.ledger.server.url, "directory": str(self.directory), "who": who}
        process = await Process.start(WORKER, {**setup, "options": options})
        self.processes.append(process)
        await process.until(lambda thing: thing["event"] == "ready")
        return process

    async def joined(self, options: dict[str, Any], **more: Any) -> Process:
        process = await self.start(options, **more)
        await process.do("connect")
        return process

    async def refused(self, options: dict[str, Any], **more: Any) -> str | None:
        """The option that it's refused for; its error must say what to do, and show no value."""
        process = await self.start(options, **more)
        error = await process.answer(process.tell("connect"))
        assert error["event"] == "error", error
        assert error["kind"] == "OptionConflict", error
        assert f"{error['option']}=" in error["text"]
        assert "key=" in error["text"]
        assert "s3cret" not in error["text"]
        return str(error["option"])


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    ledger = Ledger()
    async with ledger.server:
        crowd = Crowd(ledger, directory)
        yield crowd
        for process in crowd.processes:
            await process.end()


@pytest.mark.parametrize(
    ("first", "second", "option"),
    [
        (ALICE, BOB, "headers"),
        (ALICE, {}, "headers"),
        ({}, BOB, "headers"),
        ({"headers": {"Cookie": "session=alice-s3cret"}}, {"headers": {"Cookie": "session=bob-s3cret"}}, "headers"),
        ({"headers": [("A", "1"), ("A", "2")]}, {"headers": [("A", "2"), ("A", "1")]}, "headers"),
        ({**ALICE, "key": "us", "token": "t"}, {**BOB, "key": "us", "token": "t"}, "headers"),
        ({}, {"subprotocols": ["b"]}, "subprotocols"),
        ({"subprotocols": ["a", "b"]}, {"subprotocols": ["b", "a"]}, "subprotocols"),
        ({}, {"protocol": "json"}, "protocol"),
        ({"protocol": "topics"}, {}, "protocol"),
        ({"protocol": "json"}, {"protocol": "topics"}, "protocol"),
        ({"protocol": "query"}, {"protocol": "raw"}, "protocol"),
        ({"protocol": "as raw"}, {"protocol": "as topics"}, "protocol"),
        ({"key": "us", "client": ALICE}, {"key": "us", "client": BOB}, "headers"),
        ({"key": "us", "client": ALICE}, {"key": "us"}, "headers"),
        ({"key": "us"}, {"key": "us", "client": {"protocol": "json"}}, "protocol"),
        ({"key": "us", "client": {"token": SECRETS[0]}}, {"key": "us", "client": {"token": SECRETS[1]}}, "token"),
    ],
)
async def test_whoever_would_dial_differently_is_refused(
    crowd: Crowd, first: dict[str, Any], second: dict[str, Any], option: str
) -> None:
    owner = await crowd.joined(first)
    assert await crowd.refused(second) == option
    assert crowd.ledger.server.counts.handshakes == 1
    before = crowd.ledger.accounts[0]
    await owner.do("send", message="mine")
    await crowd.ledger.server.wait_until(lambda counts: counts.messages_received >= 1, DEADLINE)
    assert {account for account, _ in crowd.ledger.messages} == {before}
    assert all(b"s3cret" not in path.read_bytes() for path in crowd.directory.iterdir() if path.is_file())


@pytest.mark.parametrize("kind", ["closure", "global", "method"])
async def test_a_login_is_part_of_it_however_it_is_written(crowd: Crowd, kind: str) -> None:
    owner = await crowd.joined({"protocol": kind}, who=SECRETS[0])
    assert await crowd.refused({"protocol": kind}, who=SECRETS[1]) == "protocol"
    assert await crowd.refused({"protocol": "json"}) == "protocol"
    follower = await crowd.joined({"protocol": kind}, who=SECRETS[0])
    await owner.do("close")
    await follower.until(lambda thing: thing.get("new") == "CONNECTED" and thing["epoch"] == 2)
    assert await crowd.refused({"protocol": kind}, who=SECRETS[1]) == "protocol"  # of the new owner, too
    logins = [message for _, message in crowd.ledger.messages]
    assert logins == ['{"login":"alice-s3cret"}'.replace(":", ": " if kind == "method" else ":")] * 2
    assert crowd.ledger.server.counts.most_sockets == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": {"X-Api-Key": "1", "B": "2"}}, {"headers": [["b", "2"], ["x-api-key", "1"]]}),
        ({"protocol": "raw", "headers": None}, {"subprotocols": []}),
        ({"headers": {"X-Api-Key": "1"}, "open_timeout": 7}, {"headers": {"X-Api-Key": "1"}, "ping_interval": None}),
        ({"key": "us", "client": ALICE}, {"key": "us", **ALICE}),
        ({"token": "t", **ALICE}, {"token": "t", "client": ALICE}),
        ({"key": "us", "client": ALICE}, {"key": "us", "client": ALICE}),
        ({"protocol": "topics"}, {"protocol": "topics"}),
    ],
)
async def test_what_is_the_same_on_the_wire_is_shared(
    crowd: Crowd, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = await crowd.joined(first), await crowd.joined(second)
    assert len(crowd.ledger.accounts) == 1
    await one.do("close")
    await two.until(lambda thing: thing.get("new") == "CONNECTED" and thing["epoch"] == 2)
    assert crowd.ledger.accounts[0] == crowd.ledger.accounts[1]
    await crowd.joined(first)
    assert (crowd.ledger.server.counts.handshakes, crowd.ledger.server.counts.most_sockets) == (2, 1)


async def test_accounts_that_headers_tell_apart_have_a_key_each(crowd: Crowd) -> None:
    for name, options in (("alice", ALICE), ("bob", BOB), ("alice", ALICE), ("bob", BOB)):
        process = await crowd.joined({**options, "key": name})
        await process.do("send", message=f"as {name}")
    await crowd.ledger.server.wait_until(lambda counts: counts.messages_received == 4, DEADLINE)
    assert sorted(map(str, crowd.ledger.accounts)) == sorted(SECRETS)
    assert {(account, f"as {str(account).partition('-')[0]}") for account, _ in crowd.ledger.messages} == set(
        crowd.ledger.messages
    )


async def test_a_refused_process_gets_in_once_the_other_account_has_left(crowd: Crowd) -> None:
    owner = await crowd.joined(ALICE)
    assert await crowd.refused(BOB) == "headers"
    late = crowd.processes[-1]
    await owner.do("close")
    assert await late.do("connect") == "OPENED"
    assert crowd.ledger.accounts == list(SECRETS)


async def test_a_release_that_proves_no_options_is_refused_by_its_name(crowd: Crowd) -> None:
    await crowd.joined(ALICE)
    (path,) = crowd.directory.glob("*.sock")
    reader, writer = await asyncio.open_unix_connection(str(path))
    hello = msgspec.msgpack.encode([33, frames.PROTOCOL - 1, "0.1", b""])
    writer.write(struct.pack("!I", len(hello)) + hello)
    bodies = frames.Splitter().feed(await reader.read())
    writer.close()
    challenge, refused = map(frames.read_as_follower, bodies)
    assert isinstance(challenge, frames.Challenge)
    assert isinstance(refused, frames.Refused)
    assert refused.why.kind == "OtherRelease"
    assert crowd.ledger.server.counts.handshakes == 1


async def test_proofs_are_good_for_one_greeting_only_and_hold_no_digest() -> None:
    digests = {"headers": digest("alice-s3cret"), "protocol": digest("raw")}
    one, other = (proofs_of(digests, b"", nonce) for nonce in (b"1", b"2"))
    assert set(one.values()).isdisjoint(other.values())
    assert proofs_of(digests, b"token", b"1") != one
    assert all(bytes.fromhex(value) not in one.values() for value in digests.values())
    assert first_difference(one, one) is None
    assert first_difference(one, {**one, "headers": b""}) == "headers"
    assert first_difference(one, {"headers": one["headers"]}) == "protocol"


async def test_keys_where_nothing_can_be_subscribed_to_are_refused(crowd: Crowd) -> None:
    process = await crowd.joined({"protocol": "json"})
    error = await process.answer(process.tell("keys", keys=["a"]))
    assert error["kind"] == "InvalidOption"
    assert "subscribe_frames" in error["text"]


async def test_tls_settings_are_part_of_it(tmp_path: Path) -> None:
    authority = trustme.CA()
    one, both = str(tmp_path / "one.pem"), str(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(one)
    for made in (authority, trustme.CA()):
        made.cert_pem.write_to_path(both, append=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    ledger = Ledger(ssl=context)
    async with ledger.server:
        crowd = Crowd(ledger, directory)
        try:
            await crowd.joined({"ssl": {"ca": one}})
            await crowd.joined({"ssl": {"ca": one}})
            for other in (
                {"ca": both},
                {"ca": one, "check_hostname": False},
                {"ca": one, "minimum": "TLSv1_3"},
            ):
                assert await crowd.refused({"ssl": other}) == "ssl"
            assert await crowd.refused({}) == "ssl"
            assert ledger.server.counts.handshakes == 1
        finally:
            for process in crowd.processes:
                await process.end()
