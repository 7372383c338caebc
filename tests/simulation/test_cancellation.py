"""Cancellation at every await of every public call, in every state: nothing leaks, nobody else is hurt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from onesocket import Client, OnesocketError, Outcome, State
from onesocket.errors import ClosedByPeer
from onesocket.testing import MemoryServer, run_virtual

SETTINGS = ["disconnected", "connecting", "connected", "backing off", "closing", "failed", "stopped"]
CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "connect": lambda client: client.connect(),
    "reconnect": lambda client: client.reconnect(),
    "disconnect": lambda client: client.disconnect(),
    "aclose": lambda client: client.aclose(),
    "send": lambda client: client.send("cancelled"),
    "wait_for": lambda client: client.wait_for(State.CONNECTED),
    "read": lambda client: anext(client.subscribe()),
    "async with": lambda client: client.__aenter__(),
}
# From the first turn of the loop to long after the call has ended by itself, at a latency of a few turns.
MAX_ITERATIONS = 40


async def bring_to(setting: str, client: Client, server: MemoryServer) -> None:
    """Have the client in this state."""
    if setting in ("connected", "backing off", "closing", "failed"):
        await client.connect()
    match setting:
        case "connecting":
            client.connect_nowait()
        case "backing off":
            server.on_dial = lambda peer: peer.refuse(ClosedByPeer("no", code=1011, reason="", retryable=True))
            server.peers[-1].drop()
            async for change in client.changes():
                if change.new is State.BACKING_OFF and client.status.reconnect_attempts > 1:
                    break  # the first attempt is made at once, so this is the first state that lasts
            server.on_dial = None
        case "closing":
            server.peers[-1].close(1011)
            await client.wait_for(State.CLOSING, State.BACKING_OFF)
        case "failed":
            server.peers[-1].close(1008)
            await client.wait_for(State.FAILED)
        case "stopped":
            await client.disconnect()
        case _:
            pass


async def cancel_once(setting: str, verb: str, turns: int) -> None:
    """Cancel `verb` after so many turns while another caller goes on, then see that everything is well."""
    server = MemoryServer(latency=0.001)
    client = Client("ws://memory.test/", transport=server.transport(), ping_interval=None)
    await bring_to(setting, client, server)
    task = asyncio.ensure_future(CALLS[verb](client))
    other = asyncio.ensure_future(client.connect())
    for _ in range(turns):
        # Virtual time moves only when nothing else is due: a turn that waits a little lets the network answer.
        await asyncio.sleep(0.0002 if turns % 2 else 0)
    task.cancel()
    results = await asyncio.gather(task, other, return_exceptions=True)
    for result in results:
        assert not isinstance(result, Exception) or isinstance(result, OnesocketError), result
    hindered = verb in ("disconnect", "aclose", "async with", "reconnect") or setting == "stopped"
    if not hindered:
        assert isinstance(results[1], Outcome), f"another caller was hurt: {results[1]!r}"
    if verb not in ("aclose", "async with"):
        assert await client.reconnect() in Outcome
        await client.send("after")
        await asyncio.sleep(0.01)
        assert server.peers[-1].received[-1:] == ["after"]
    await client.aclose()
    assert server.open_now == 0
    assert server.most_open <= 1


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("verb", CALLS)
def test_cancelled_after_any_number_of_turns(setting: str, verb: str) -> None:
    for turns in range(MAX_ITERATIONS):
        run_virtual(lambda turns=turns: cancel_once(setting, verb, turns))  # type: ignore[misc]
