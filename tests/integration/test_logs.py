"""Logs of an outage, without being asked for: the same for every kind of handle, and once for all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Identity, Provider, ReconnectPolicy, State
from onesocket.errors import ClosedByPeer, HandshakeRejected
from onesocket.testing import Fault, FaultyServer
from tests.integration.hub_clients import running_hub
from tests.integration.test_client_parity import KINDS, Handle, open_handle
from tests.support.waiting import until

QUICK = ReconnectPolicy(initial=0.01, cap=0.02, stable_after=0.01)
SHARED = [kind for kind in KINDS if kind != "client"]
WARNED = [
    r"connection lost: the server closed the connection with 1012 \(service restart\); attempt 1 at once",
    r"attempt 1 failed: .*HTTP 503.* \(0 s since the first loss\); attempt 2 (in 0\.0 s|at once)",
]
RECOVERED = r"connected again after \d\.\d s \(epoch \d, attempt 2\)"
GAVE_UP = r"connection lost for good, after an outage of \d\.\d s: .*HTTP 403.*"


@asynccontextmanager
async def provided(url: str, **options: Any) -> AsyncIterator[Handle]:
    provider = Provider(lambda token: Client(url, token=token, **options), auth=lambda: Identity("ann", "t0ken"))
    async with provider:
        await provider.login()
        yield Handle(provider.client)


def records(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "onesocket"]


def is_told(caplog: pytest.LogCaptureFixture, server: FaultyServer, expected: list[tuple[int, str]]) -> None:
    """Compare what was logged, record by record; it is cleared."""
    told = records(caplog)
    assert [level for level, _ in told] == [level for level, _ in expected], told
    for (_, text), (_, pattern) in zip(told, expected, strict=True):
        assert re.fullmatch(re.escape(f"{server.url}") + r": " + pattern, text), text
        assert "t0ken" not in text
    caplog.clear()


async def lose_and_resume(server: FaultyServer, handle: Handle) -> None:
    await until(lambda: handle.client.status.attempt == 0)  # it has proved itself, or this would be the same outage
    epoch = handle.client.epoch
    server.faults = [Fault.refuse(503)]
    await server.close_connections(1012)
    await until(lambda: handle.client.epoch == epoch + 2 and handle.client.state is State.CONNECTED)


@pytest.mark.parametrize("kind", [*KINDS, "provider"])
async def test_an_outage_is_logged_once_for_all_handles(
    server: FaultyServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onesocket")
    async with AsyncExitStack() as opened:
        count = 3 if kind in SHARED else 1
        way = provided(server.url, reconnect=QUICK)
        handles = [
            await opened.enter_async_context(
                way if kind == "provider" else open_handle(kind, server.url, tmp_path, reconnect=QUICK)
            )
            for _ in range(count)
        ]
        assert records(caplog) == []
        for _ in range(2):
            await lose_and_resume(server, handles[0])
            await until(lambda: any("connected again" in text for _, text in records(caplog)))
            is_told(caplog, server, [*((logging.WARNING, text) for text in WARNED), (logging.INFO, RECOVERED)])
        for handle in handles:
            await until(lambda handle=handle: isinstance(handle.client.status.last_loss, ClosedByPeer))  # type: ignore[misc]
            assert handle.client.status.last_error is None
            assert handle.client.status.last_lost_at is not None
        await until(lambda: handles[0].client.status.attempt == 0)
        server.faults = Fault.refuse(403)
        await server.close_connections(1012)
        await until(lambda: handles[0].client.state is State.FAILED)
        await until(lambda: any("for good" in text for _, text in records(caplog)))
        # A provider has a source of tokens, which gets one more chance.
        renewed = [(logging.WARNING, "attempt 1 failed: .*HTTP 403.*")] if kind == "provider" else []
        is_told(caplog, server, [(logging.WARNING, WARNED[0]), *renewed, (logging.ERROR, GAVE_UP)])
        for handle in handles:
            await until(lambda handle=handle: isinstance(handle.client.status.last_error, HandshakeRejected))  # type: ignore[misc]
            assert isinstance(handle.client.status.last_loss, ClosedByPeer)
        server.faults = None


def breaks(_: Any) -> None:
    raise LookupError("of the program")


@pytest.mark.parametrize("kind", [*KINDS, "provider"])
async def test_code_of_the_program_that_fails_is_an_error_with_its_frames(
    server: FaultyServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    way = provided(server.url) if kind == "provider" else open_handle(kind, server.url, tmp_path)
    async with way as handle:
        await handle.call(lambda client: client.on(breaks))
        await handle.call(lambda client: client.on_change(breaks))
        await server.broadcast("x")
        await until(lambda: len(records(caplog)) == 1)
        await handle.call(lambda client: client.disconnect())
        # In another thread, a record is there before its text.
        await until(lambda: caplog.text.count("LookupError: of the program") == 3)
        for record in caplog.records:
            assert record.levelno == logging.ERROR
            assert "breaks failed: LookupError" in record.getMessage()
        assert (len(records(caplog)), caplog.text.count("in breaks\n")) == (3, 3)


def no_token() -> str:
    raise LookupError("the vault is closed")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_token_source_that_fails_while_resuming_is_shown_with_its_frames(
    server: FaultyServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = iter(["first"])
    given: dict[str, Any] = {"token": lambda: next(tokens, None) or no_token(), "reconnect": QUICK}
    if kind != "client":
        given["key"] = "an account"
    async with open_handle(kind, server.url, tmp_path, **given) as handle:
        await server.close_connections(1012)
        await until(lambda: any(level == logging.ERROR for level, _ in records(caplog)))
        await handle.call(lambda client: client.disconnect())
    (failed,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert re.search("attempt 1 failed: (the|a) token source raised LookupError", failed.getMessage())
    assert "in no_token\n" in caplog.text
    assert "LookupError: the vault is closed" not in caplog.text  # it might hold a secret


async def test_a_hub_logs_the_outage_of_its_upstream_and_what_it_means_for_its_clients(
    server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onesocket")
    async with running_hub(server, client_options={"reconnect": QUICK}) as hub:
        server.faults = [Fault.refuse(503)]
        await server.close_connections(1012)
        await until(lambda: hub.status.epoch == 3 and any("is back" in text for _, text in records(caplog)))
        told = records(caplog)
        assert (logging.WARNING, "the upstream was lost; clients that stay connected: 0") in told
        assert (logging.WARNING, "the upstream is back") in told
        of_connection = [(level, text) for level, text in told if text.startswith(server.url)]
        assert [level for level, _ in of_connection] == [logging.WARNING, logging.WARNING, logging.INFO]
        assert isinstance(hub.status.last_loss, ClosedByPeer)


async def test_nothing_is_logged_of_what_the_program_does_itself(
    server: FaultyServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "onesocket")
    async with asyncio.timeout(10), Client(server.url) as client:
        await client.reconnect()
        await client.disconnect()
    assert records(caplog) == []
