"""Requests that a shared client and join() refuse at once, and the texts of the errors."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Json, Outcome, Raw, State
from onesocket.errors import ClientClosed, InvalidOption, ManuallyDisconnected, OptionConflict, WrongEventLoop
from onesocket.sharing._join import JoinRequest, join
from onesocket.sharing.host import HostOptions
from onesocket.testing import FaultyServer

Join = Callable[..., JoinRequest]


@pytest.fixture(params=["loop", "process", "host"])
def joins(request: pytest.FixtureRequest, server: FaultyServer, tmp_path: Path) -> Join:
    """`join()` with this scope."""
    options: dict[str, Any] = {"scope": request.param}
    if request.param == "host":
        options |= {"host_options": HostOptions(directory=str(tmp_path / "run")), "key": "mine"}
    return lambda **more: join(server.url, **options, **more)


# --- wait_for() ---------------------------------------------------------------------------------------------


async def elsewhere(work: Callable[[], Any]) -> Any:
    """On another event loop, in another thread."""

    async def bounded() -> Any:
        async with asyncio.timeout(5):
            return await work()

    return await asyncio.to_thread(asyncio.run, bounded())


async def test_a_shared_client_waits_on_its_own_loop_only(joins: Join) -> None:
    async with joins() as client:
        for state in (State.STOPPED, State.CONNECTED):  # whether it's waited for or there
            with pytest.raises(WrongEventLoop):
                await elsewhere(lambda wanted=state: client.wait_for(wanted))  # type: ignore[misc]
        assert await client.wait_for(State.CONNECTED) is State.CONNECTED
    assert await client.wait_for(State.CLOSED) is State.CLOSED
    with pytest.raises(ClientClosed):
        await client.wait_for(State.CONNECTED)


async def test_a_client_waits_on_its_own_loop_only(server: FaultyServer) -> None:
    async with Client(server.url) as client:
        for state in (State.STOPPED, State.CONNECTED):
            with pytest.raises(WrongEventLoop):
                await elsewhere(lambda wanted=state: client.wait_for(wanted))  # type: ignore[misc]
        assert await client.wait_for(State.CONNECTED) is State.CONNECTED
    assert await client.wait_for(State.CLOSED) is State.CLOSED


# --- disconnect() -------------------------------------------------------------------------------------------


async def test_send_nowait_is_refused_at_once(server: FaultyServer, joins: Join) -> None:
    async with joins() as client, joins() as other:
        await client.disconnect()
        with pytest.raises(ManuallyDisconnected):
            client.send_nowait("x")
        await other.wait_for(State.STOPPED, timeout=5)
        with pytest.raises(ManuallyDisconnected):
            other.send_nowait("x")
        await client.reconnect()
        await client.send_nowait("y")
        await other.wait_for(State.CONNECTED, timeout=5)
        await other.send_nowait("z")
    with pytest.raises(ClientClosed):
        client.send_nowait("x")
    assert server.received == ["y", "z"]


async def test_send_nowait_on_a_connection_that_was_closed_behind_the_client(server: FaultyServer) -> None:
    made: list[Client] = []

    def make() -> Client:
        made.append(Client(server.url))
        return made[-1]

    async with join(server.url, client_factory=make, scope="loop") as client:
        await made[0].aclose()
        await client.wait_for(State.CLOSED, timeout=5)
        with pytest.raises(ClientClosed, match="join again"):
            client.send_nowait("x")


async def test_who_can_not_join_is_told_the_way_out(joins: Join) -> None:
    async with joins() as client:
        await client.disconnect()
        with pytest.raises(ManuallyDisconnected, match=r"join\(\.\.\.\)\.client\(\).*await client\.reconnect\(\)"):
            await joins()
        with pytest.raises(ManuallyDisconnected, match=r"client\.reconnect\(\)"):
            async with joins():
                pass
        with pytest.raises(ManuallyDisconnected, match="call reconnect"):
            await client.connect()
        way_out = joins().client()  # what the text says works
        assert await way_out.reconnect() is Outcome.OPENED
        async with joins() as again:
            assert again.state is State.CONNECTED
        await way_out.aclose()


# --- options ------------------------------------------------------------------------------------------------


async def test_a_client_brings_its_protocol(server: FaultyServer, joins: Join) -> None:
    def raw() -> Client:
        return Client(server.url)

    def json() -> Client:
        return Client(server.url, protocol=Json(event="t"))

    with pytest.raises(InvalidOption, match=r"another protocol \(Raw\) than protocol= \(Json\)"):
        await joins(client_factory=raw, protocol=Json())
    with pytest.raises(InvalidOption, match=r"another protocol \(Json\) than protocol= \(Json\)"):
        await joins(client_factory=json, protocol=Json(event="op"))
    assert server.counts.handshakes == 0
    async with joins(client_factory=raw, protocol=Raw()) as client:
        await client.send("raw")
    async with joins(client_factory=json, protocol=Json(event="t")) as client:
        stream = client.subscribe("a")
        await client.send({"t": "a"})
        assert await anext(stream) == {"t": "a"}
    async with joins(client_factory=json, protocol=None) as client:
        await client.send({})


async def test_a_conflict_of_scopes_names_the_first_one(server: FaultyServer, tmp_path: Path) -> None:
    host = HostOptions(directory=str(tmp_path / "run"))
    async with join(server.url):
        with pytest.raises(OptionConflict, match="give it scope='process' as the first has") as conflict:
            await join(server.url, scope="host", host_options=host)
        assert conflict.value.option == "scope"
    async with join(server.url, scope="host", host_options=host):
        with pytest.raises(OptionConflict, match="give it scope='host' as the first has"):
            await join(server.url)
