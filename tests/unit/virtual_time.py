"""Tests on virtual time and the in-memory transport."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from onesocket import Client, State
from onesocket.testing._virtual_time import run_virtual
from onesocket.transports._memory import MemoryPeer, MemoryServer

Main = Callable[[], Coroutine[Any, Any, None]]


def on_virtual_time(main: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs on virtual time; it fails when it leaves a task, or an error that nobody handled."""

    @functools.wraps(main)
    def test(**parameters: Any) -> None:
        run_virtual(functools.partial(main, **parameters))

    # pytest would take it for the coroutine function that it wraps, and needs its parameters.
    del test.__wrapped__
    test.__signature__ = inspect.signature(main)  # type: ignore[attr-defined] # that's where inspect looks
    return test


def make_client(server: MemoryServer, **options: Any) -> Client:
    """A client of this server; no PINGs unless asked for."""
    options.setdefault("ping_interval", None)
    return Client("ws://memory.test/", transport=server.transport(), **options)


def greets(*messages: str, then: Callable[[MemoryPeer], object] | None = None) -> MemoryServer:
    """A server that says these with its 101, each time."""

    def on_dial(peer: MemoryPeer) -> None:
        peer.accept()
        for message in messages:
            peer.send(message)
        if then is not None:
            then(peer)

    return MemoryServer(on_dial)


async def settle(turns: int = 20) -> None:
    """Let everything that is due happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


def state_of(client: Client) -> State:
    """Its state just now; a call, so that type checkers don't take it for what it was before."""
    return client.state
