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

from onesocket.errors import VersionMismatch
from onesocket.protocols._fingerprint import digest
from onesocket.sharing._option_digests import first_differing_option, option_proofs
from onesocket.sharing.host import _ipc_frames as frames
from onesocket.testing import FaultyConnection, FaultyServer
from tests.campaigns.harness.worker_process import DEADLINE, WorkerProcess

WORKER = Path(__file__).with_name("agreement_worker.py")
SECRETS = ("alice-s3cret", "bob-s3cret")
ALICE, BOB = ({"headers": {"X-Api-Key": secret}} for secret in SECRETS)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


class AccountRecorder:
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


class AgreementProcesses:
    """The processes of one test."""

    def __init__(self, ledger: AccountRecorder, directory: Path) -> None:
        self.ledger = ledger
        self.directory = directory
        self.processes: list[WorkerProcess] = []

    async def start(self, options: dict[str, Any], *, who: str = "nobody", url: str = "") -> WorkerProcess:
        setup = {"url": url or self.ledger.server.url, "directory": str(self.directory), "who": who}
        process = await WorkerProcess.start(WORKER, {**setup, "options": options})
        self.processes.append(process)
        await process.until(lambda report: report["event"] == "ready")
        return process

    async def joined(self, options: dict[str, Any], **more: Any) -> WorkerProcess:
        process = await self.start(options, **more)
        await process.do("connect")
        return process

    async def refused(self, options: dict[str, Any], *, kind: str = "OptionConflict", **more: Any) -> str | None:
        """The option that it's refused for; its error must say what to do, and show no value."""
        process = await self.start(options, **more)
        error = await process.answer(process.tell("connect"))
        assert error["event"] == "error", error
        assert error["kind"] == kind, error
        assert "key=" in error["text"]
        assert "s3cret" not in error["text"]
        option = error["option"] or error["text"].partition("=:")[0].rpartition(" ")[2]
        assert f"{option}=" in error["text"]
        return str(option)


@pytest.fixture
async def agreement_processes(tmp_path: Path) -> AsyncIterator[AgreementProcesses]:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    ledger = AccountRecorder()
    async with ledger.server:
        agreement_processes = AgreementProcesses(ledger, directory)
        yield agreement_processes
        for process in agreement_processes.processes:
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
        ({"key": "us", "client_factory": ALICE}, {"key": "us", "client_factory": BOB}, "headers"),
        ({"key": "us", "client_factory": ALICE}, {"key": "us"}, "headers"),
        ({"key": "us"}, {"key": "us", "client_factory": {"protocol": "json"}}, "protocol"),
        (
            {"key": "us", "client_factory": {"token": SECRETS[0]}},
            {"key": "us", "client_factory": {"token": SECRETS[1]}},
            "token",
        ),
    ],
)
async def test_whoever_would_dial_differently_is_refused(
    agreement_processes: AgreementProcesses, first: dict[str, Any], second: dict[str, Any], option: str
) -> None:
    owner = await agreement_processes.joined(first)
    assert await agreement_processes.refused(second) == option
    assert agreement_processes.ledger.server.counts.handshakes == 1
    before = agreement_processes.ledger.accounts[0]
    await owner.do("send", message="mine")
    await agreement_processes.ledger.server.wait_until(lambda counts: counts.messages_received >= 1, DEADLINE)
    assert {account for account, _ in agreement_processes.ledger.messages} == {before}
    assert all(b"s3cret" not in path.read_bytes() for path in agreement_processes.directory.iterdir() if path.is_file())


async def test_the_account_of_a_login_is_part_of_it_as_an_argument(agreement_processes: AgreementProcesses) -> None:
    login = {"protocol": "argument"}
    owner = await agreement_processes.joined(login, who=SECRETS[0])
    assert await agreement_processes.refused(login, who=SECRETS[1]) == "protocol"
    assert await agreement_processes.refused({"protocol": "json"}) == "protocol"
    follower = await agreement_processes.joined(login, who=SECRETS[0])
    await owner.do("close")
    await follower.until(lambda report: report.get("new") == "CONNECTED" and report["epoch"] == 2)
    assert await agreement_processes.refused(login, who=SECRETS[1]) == "protocol"  # of the new owner, too
    logins = [message for _, message in agreement_processes.ledger.messages]
    assert logins == ['{"login": "alice-s3cret"}'] * 2
    assert agreement_processes.ledger.server.counts.most_sockets == 1


async def test_functions_can_not_be_compared_between_processes_and_need_a_key(
    agreement_processes: AgreementProcesses,
) -> None:
    login = {"protocol": "function"}
    assert await agreement_processes.refused(login, who=SECRETS[0], kind="InvalidOption") == "protocol"
    assert agreement_processes.ledger.server.counts.handshakes == 0
    for key in ("alice", "bob", "alice", "bob"):
        await agreement_processes.joined({**login, "key": key}, who=f"{key}-s3cret")
    logins = sorted(message for _, message in agreement_processes.ledger.messages)
    assert logins == [f'{{"login":"{secret}"}}' for secret in SECRETS]
    assert await agreement_processes.refused({"protocol": "json", "key": "alice"}) == "protocol"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": {"X-Api-Key": "1", "B": "2"}}, {"headers": [["b", "2"], ["x-api-key", "1"]]}),
        ({"protocol": "raw", "headers": None}, {"subprotocols": []}),
        ({"headers": {"X-Api-Key": "1"}, "open_timeout": 7}, {"headers": {"X-Api-Key": "1"}, "ping_interval": None}),
        ({"key": "us", "client_factory": ALICE}, {"key": "us", **ALICE}),
        ({"token": "t", **ALICE}, {"token": "t", "client_factory": ALICE}),
        ({"key": "us", "client_factory": ALICE}, {"key": "us", "client_factory": ALICE}),
        ({"protocol": "topics"}, {"protocol": "topics"}),
    ],
)
async def test_what_is_the_same_on_the_wire_is_shared(
    agreement_processes: AgreementProcesses, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = await agreement_processes.joined(first), await agreement_processes.joined(second)
    assert len(agreement_processes.ledger.accounts) == 1
    await one.do("close")
    await two.until(lambda report: report.get("new") == "CONNECTED" and report["epoch"] == 2)
    assert agreement_processes.ledger.accounts[0] == agreement_processes.ledger.accounts[1]
    await agreement_processes.joined(first)
    assert (
        agreement_processes.ledger.server.counts.handshakes,
        agreement_processes.ledger.server.counts.most_sockets,
    ) == (2, 1)


async def test_accounts_that_headers_tell_apart_have_a_key_each(agreement_processes: AgreementProcesses) -> None:
    for name, options in (("alice", ALICE), ("bob", BOB), ("alice", ALICE), ("bob", BOB)):
        process = await agreement_processes.joined({**options, "key": name})
        await process.do("send", message=f"as {name}")
    await agreement_processes.ledger.server.wait_until(lambda counts: counts.messages_received == 4, DEADLINE)
    assert sorted(map(str, agreement_processes.ledger.accounts)) == sorted(SECRETS)
    assert {
        (account, f"as {str(account).partition('-')[0]}") for account, _ in agreement_processes.ledger.messages
    } == set(agreement_processes.ledger.messages)


async def test_a_refused_process_gets_in_once_the_other_account_has_left(
    agreement_processes: AgreementProcesses,
) -> None:
    owner = await agreement_processes.joined(ALICE)
    assert await agreement_processes.refused(BOB) == "headers"
    late = agreement_processes.processes[-1]
    await owner.do("close")
    assert await late.do("connect") == "OPENED"
    assert agreement_processes.ledger.accounts == list(SECRETS)


async def test_a_release_that_proves_no_options_is_refused_by_its_name(agreement_processes: AgreementProcesses) -> None:
    await agreement_processes.joined(ALICE)
    (path,) = agreement_processes.directory.glob("*.sock")
    reader, writer = await asyncio.open_unix_connection(str(path))
    hello = msgspec.msgpack.encode([33, frames.PROTOCOL_VERSION - 1, "0.1", b""])
    writer.write(struct.pack("!I", len(hello)) + hello)
    bodies = frames.FrameSplitter().feed(await reader.read())
    writer.close()
    challenge, refused = map(frames.decode_owner_frame, bodies)
    assert isinstance(challenge, frames.Challenge)
    assert isinstance(refused, frames.Rejection)
    assert isinstance(refused.error, VersionMismatch)
    assert agreement_processes.ledger.server.counts.handshakes == 1


async def test_proofs_are_good_for_one_greeting_only_and_hold_no_digest() -> None:
    digests = {"headers": digest("alice-s3cret"), "protocol": digest("raw")}
    one, other = (option_proofs(digests, b"", nonce) for nonce in (b"1", b"2"))
    assert set(one.values()).isdisjoint(other.values())
    assert option_proofs(digests, b"token", b"1") != one
    assert all(bytes.fromhex(value) not in one.values() for value in digests.values())
    assert first_differing_option(one, one) is None
    assert first_differing_option(one, {**one, "headers": b""}) == "headers"
    assert first_differing_option(one, {"headers": one["headers"]}) == "protocol"


async def test_keys_where_nothing_can_be_subscribed_to_are_refused(agreement_processes: AgreementProcesses) -> None:
    process = await agreement_processes.joined({"protocol": "json"})
    error = await process.answer(process.tell("keys", keys=["a"]))
    assert error["kind"] == "InvalidOption"
    assert "subscribe_frames" in error["text"]


async def test_tls_contexts_can_not_be_compared_between_processes_and_need_a_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificates = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    ledger = AccountRecorder(ssl=context)
    options = {"ssl": {"ca": certificates}}
    async with ledger.server:
        agreement_processes = AgreementProcesses(ledger, directory)
        try:
            assert await agreement_processes.refused(options, kind="InvalidOption") == "ssl"
            await agreement_processes.joined({**options, "key": "us"})
            await agreement_processes.joined({**options, "key": "us"})
            assert await agreement_processes.refused({"key": "us"}) == "ssl"
            assert ledger.server.counts.handshakes == 1
        finally:
            for process in agreement_processes.processes:
                await process.end()
