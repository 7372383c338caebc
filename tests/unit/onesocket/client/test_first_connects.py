"""First connects that are retried, and calls before a time that the server has named."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from onesocket.client._client import Client
from onesocket.errors import (
    ClientClosed,
    ConnectAborted,
    ConnectionRefused,
    HandshakeRejected,
    InvalidOption,
    LoginRefused,
    ManuallyDisconnected,
    OnesocketError,
    ServerBusy,
)
from onesocket.lifecycle._effects import Outcome
from onesocket.lifecycle._peer_errors import handshake_rejected
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket.protocols._json import Json
from onesocket.protocols._login import Login
from onesocket.sharing._join import join
from onesocket.transports._memory import MemoryPeer, MemoryServer
from tests.unit.virtual_time import on_virtual_time

URL = "ws://memory.test/"
DOWN = ConnectionRefused("nothing listens")
FIRST = ReconnectPolicy(first=True)


def down_for(server: MemoryServer, attempts: int, error: OnesocketError = DOWN) -> None:
    """Refuse so many attempts."""

    def answer(peer: MemoryPeer) -> None:
        if len(server.peers) <= attempts:
            peer.refuse(error)
        else:
            peer.accept(greeting=["hello"])

    server.on_dial = answer


def make(server: MemoryServer, **options: Any) -> Client:
    return Client(URL, transport=server.transport(), **options)


@pytest.mark.parametrize("by_policy", [True, False])
@on_virtual_time
async def test_a_program_may_start_before_its_service(by_policy: bool) -> None:
    server = MemoryServer()
    down_for(server, 5)
    client = make(server, reconnect=FIRST) if by_policy else make(server)
    messages = client.subscribe()
    outcome = await (client.connect() if by_policy else client.connect(retry=True))
    assert (outcome, len(server.peers), await anext(messages)) == (Outcome.OPENED, 6, "hello")
    assert asyncio.get_running_loop().time() > 1
    await client.aclose()


@on_virtual_time
async def test_a_reader_made_before_survives_a_first_connect_that_fails() -> None:
    server = MemoryServer()
    down_for(server, 2)
    for client in (make(server), join(URL, scope="loop", transport=server.transport()).client()):
        server.peers.clear()
        reader = asyncio.ensure_future(anext(client.subscribe()))
        for _ in range(2):
            with pytest.raises(ConnectionRefused):
                await client.connect()
        await client.connect()
        assert await reader == "hello"
        await client.aclose()


@on_virtual_time
async def test_a_failure_that_no_caller_gets_is_raised_in_the_readers() -> None:
    server = MemoryServer()
    for retry in (False, True):
        down_for(server, 99, handshake_rejected(404, {}))
        for client in (make(server), join(URL, scope="loop", transport=server.transport()).client()):
            reader = asyncio.ensure_future(anext(client.subscribe()))
            assert client.connect_nowait(retry=retry) is Outcome.OPENED
            with pytest.raises(HandshakeRejected):
                await reader
            await client.aclose()


@on_virtual_time
async def test_a_failure_that_no_caller_gets_waits_for_the_first_reader(caplog: pytest.LogCaptureFixture) -> None:
    client: Any
    other: Any
    for shared in (False, True):
        server = MemoryServer()
        down_for(server, 1, handshake_rejected(404, {}))
        caplog.clear()
        if shared:
            client = await join(URL, scope="loop", transport=server.transport(), wait=False)
            other = await join(URL, scope="loop", transport=server.transport(), wait=False)
        else:
            client = other = make(server)
            client.connect_nowait(retry=True)
        await asyncio.sleep(1)
        errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert [text.startswith(f"{URL}: connecting failed: the server answered") for text in errors] == [True]
        with pytest.raises(HandshakeRejected):
            await anext(client.subscribe())
        other.connect_nowait()
        assert await anext(other.subscribe()) == "hello"
        await client.aclose()
        await other.aclose()


@on_virtual_time
async def test_a_handle_may_be_joined_before_its_service_is_up() -> None:
    server = MemoryServer()
    down_for(server, 3)
    async with join(URL, scope="loop", transport=server.transport(), wait=False) as client:
        assert client.status.last_connected_at is None
        assert await anext(client.subscribe()) == "hello"
        assert client.state is State.CONNECTED
    wrong: Any
    for wrong in (1, None):
        with pytest.raises(InvalidOption, match="wait must be True or False"):
            join(URL, wait=wrong)
    down_for(server, 99)
    async with join(URL, scope="loop", transport=server.transport(), wait=False, reconnect=None) as client:
        with pytest.raises(ConnectionRefused):
            await anext(client.subscribe())


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_callers_that_wait_are_cancelled_safely(shared: bool) -> None:
    server = MemoryServer()
    down_for(server, 99)
    client: Any = join(URL, scope="loop", transport=server.transport()).client() if shared else make(server)
    callers = [asyncio.ensure_future(client.connect(retry=True)) for _ in range(2)]
    await asyncio.sleep(5)
    callers[0].cancel()
    await asyncio.sleep(5)
    attempts = len(server.peers)
    assert client.state in (State.CONNECTING, State.BACKING_OFF)
    callers[1].cancel()
    await asyncio.sleep(60)
    assert len(server.peers) <= attempts + 1
    assert client.state is State.DISCONNECTED
    await client.aclose()


@pytest.mark.parametrize(("stop", "error"), [("disconnect", ConnectAborted), ("aclose", ClientClosed)])
@on_virtual_time
async def test_callers_that_wait_are_released_by_the_owner(stop: str, error: type[OnesocketError]) -> None:
    server = MemoryServer()
    down_for(server, 99)
    client = make(server)
    caller = asyncio.ensure_future(client.connect(retry=True))
    await asyncio.sleep(5)
    await getattr(client, stop)()
    with pytest.raises(error):
        await caller
    await client.aclose()


@on_virtual_time
async def test_retry_is_checked() -> None:
    for client in (
        make(MemoryServer(), reconnect=None),
        join(URL, scope="loop", transport=MemoryServer().transport(), reconnect=None).client(),
    ):
        with pytest.raises(InvalidOption, match="retry=True needs a policy"):
            await client.connect(retry=True)
        with pytest.raises(InvalidOption, match="retry must be True, False or None, not 1"):
            client.connect_nowait(retry=1)  # type: ignore[arg-type] # that is the point
        await client.aclose()


@on_virtual_time
async def test_a_retried_call_without_a_caller_counts_beside_one_of_one_attempt() -> None:
    server = MemoryServer()
    for client in (make(server), join(URL, scope="loop", transport=server.transport()).client()):
        server.peers.clear()
        down_for(server, 2)
        reader = asyncio.ensure_future(anext(client.subscribe()))
        outcomes = [client.connect_nowait(retry=retry) for retry in (False, True, False)]
        assert outcomes == [Outcome.OPENED, Outcome.JOINED, Outcome.JOINED]
        assert await reader == "hello"
        await client.aclose()


# --- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True])
@on_virtual_time
async def test_a_program_that_connects_in_a_loop_does_not_hammer_a_server(shared: bool) -> None:
    server = MemoryServer()
    loop = asyncio.get_running_loop()
    dialled: list[float] = []

    def refuse(peer: MemoryPeer) -> None:
        dialled.append(loop.time())
        peer.refuse(handshake_rejected(503, {"retry-after": "30"}))

    server.on_dial = refuse
    client: Any = join(URL, scope="loop", transport=server.transport()).client() if shared else make(server)
    errors: list[OnesocketError] = []
    while loop.time() < 100:
        try:
            await client.connect()
        except OnesocketError as error:
            errors.append(error)
    assert len(dialled) == 4
    assert all(after - before >= 30 for before, after in itertools.pairwise(dialled))
    assert len(errors) < 20
    early = errors[1]
    assert isinstance(early, ServerBusy)
    assert early.retry_after == pytest.approx(20, abs=0.1)
    await client.aclose()


@on_virtual_time
async def test_a_call_waits_for_a_near_date_and_a_call_with_retry_for_any() -> None:
    server = MemoryServer()
    down_for(server, 1, handshake_rejected(429, {"retry-after": "8"}))
    client = make(server)
    loop = asyncio.get_running_loop()
    with pytest.raises(ServerBusy):
        await client.connect()
    assert await client.connect() is Outcome.OPENED
    assert 8 <= loop.time() < 8.1
    await client.aclose()
    server.peers.clear()
    down_for(server, 1, handshake_rejected(429, {"retry-after": "3000"}))
    client = make(server)
    with pytest.raises(ServerBusy):
        await client.connect()
    with pytest.raises(ServerBusy, match="no attempt before"):
        client.connect_nowait()
    began = loop.time()
    assert await client.connect(retry=True) is Outcome.OPENED
    assert 3000 <= loop.time() - began < 3001
    await client.aclose()


@on_virtual_time
async def test_a_reconnect_that_waits_for_a_date_does_not_lift_a_later_disconnect() -> None:
    server = MemoryServer()
    down_for(server, 1, handshake_rejected(503, {"retry-after": "8"}))
    client = make(server)
    with pytest.raises(HandshakeRejected):
        await client.connect()
    await client.disconnect()
    call = asyncio.create_task(client.reconnect())
    await asyncio.sleep(1)
    assert not call.done()
    await client.disconnect()
    with pytest.raises(ManuallyDisconnected):
        await call
    await asyncio.sleep(10)
    assert client.state is State.STOPPED
    assert len(server.peers) == 1
    assert await client.reconnect() is Outcome.OPENED
    await client.aclose()


@pytest.mark.parametrize(("stop", "error"), [("aclose", ClientClosed), ("disconnect", ManuallyDisconnected)])
@on_virtual_time
async def test_a_call_that_waits_for_a_date_ends_with_the_client(stop: str, error: type[OnesocketError]) -> None:
    server = MemoryServer()
    down_for(server, 99, handshake_rejected(503, {"retry-after": "30"}))
    client = make(server)
    with pytest.raises(HandshakeRejected):
        await client.connect()
    loop = asyncio.get_running_loop()
    began = loop.time()
    cancelled = asyncio.ensure_future(client.connect())
    caller = asyncio.ensure_future(client.connect())
    await asyncio.sleep(1)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await getattr(client, stop)()
    with pytest.raises(error):
        await caller
    assert loop.time() - began < 2
    await client.aclose()


@on_virtual_time
async def test_a_call_while_a_failed_attempt_is_being_closed_gets_the_next_one() -> None:
    server = MemoryServer()
    server.on_dial = lambda peer: peer.accept(greeting=['{"no": "not today"}' if len(server.peers) == 1 else "{}"])
    login = Login(ready=lambda message: "no" not in message, refused=lambda message: message.get("no"))
    client = make(server, protocol=Json(login=login))
    changes = client.changes()
    first = asyncio.ensure_future(client.connect())
    while (await anext(changes)).new is not State.CLOSING:
        pass
    second = asyncio.ensure_future(client.connect())
    with pytest.raises(LoginRefused):
        await first
    assert (await second, len(server.peers)) == (Outcome.OPENED, 2)
    await client.aclose()
