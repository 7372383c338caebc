"""Ctrl-C at every place of every call of a blocking link, on a real line: nothing is left behind, and all goes on."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onesocket import State, WaitTimeout, blocking
from onesocket.sharing.registry import current_registry
from onesocket.sharing.shared import Shared
from onesocket.testing import FaultyServer
from tests.unit.sharing.ctrl_c import PACKAGE, CtrlC, at_each_place


class Elsewhere:
    """A server in a thread: Ctrl-C comes to the main thread, which is the one of the tests."""

    def __init__(self) -> None:
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self.server = FaultyServer()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        assert self._is_up.wait(10)

    def __repr__(self) -> str:
        return f"<Elsewhere {self.server!r}>"

    async def _serve(self) -> None:
        async with self.server:
            self._is_up.set()
            await self._end.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    elsewhere = Elsewhere()
    yield elsewhere.server
    elsewhere.stop()


@pytest.fixture
def keeper(server: FaultyServer) -> Iterator[blocking.Link]:
    """A link that keeps the line up, so that nothing is dialled at each place."""
    with blocking.join(server.url) as link:
        yield link
    assert len(current_registry()) == 0


def the_one() -> Shared:
    (shared,) = current_registry()._shared.values()
    return shared


def settled(is_so: Callable[[], bool], within: float = 5.0) -> None:
    """Other threads bring it about: looked at again and again, and no longer than so."""
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end, "never"
        time.sleep(0)


def alone() -> bool:
    """The keeper is the only one that is known."""
    shared = the_one()
    return shared.count == 1 and len(shared._members) == 1 and len(shared.feed._queues) == 1


def test_joining(server: FaultyServer, keeper: blocking.Link) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        link = None
        with ctrl_c:
            link = blocking.join(server.url)
        if link is not None:
            link.close()
        settled(alone)

    assert len(at_each_place(scenario, PACKAGE)) > 100


def test_joining_first(server: FaultyServer) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        link = None
        with ctrl_c:
            link = blocking.join(server.url)
        if link is not None:
            link.close()
        settled(lambda: len(current_registry()) == 0 and current_registry().owner_thread is None)

    assert len(at_each_place(scenario, PACKAGE, step=3)) > 100
    settled(lambda: server.counts.sockets_now == 0)
    assert server.counts.most_sockets == 1


@pytest.mark.parametrize("again", [True, False], ids=["and once more", "and forgetting it"])
def test_closing(server: FaultyServer, keeper: blocking.Link, *, again: bool) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        link = blocking.join(server.url)
        with ctrl_c:
            link.close()
        if again:
            link.close()
        del link
        settled(alone)

    assert len(at_each_place(scenario, PACKAGE)) > 40


def echoed(keeper: blocking.Link) -> list[str]:
    """What the link receives up to what it sends last, now."""
    keeper.send("two", timeout=5)
    told = [keeper.receive(5)]
    if told == ["one"]:
        told.append(keeper.receive(5))
    assert told[-1] == "two"
    return told


def test_sending(keeper: blocking.Link) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        is_sent = False
        with ctrl_c:
            keeper.send("one", timeout=5)
            is_sent = True
        assert echoed(keeper) == ["one", "two"] or not is_sent

    assert len(at_each_place(scenario, PACKAGE)) > 20


def test_sending_without_waiting(keeper: blocking.Link) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        with ctrl_c:
            keeper.send_nowait("one")
        assert echoed(keeper) == ["one", "two"] or ctrl_c.where

    assert len(at_each_place(scenario, PACKAGE)) > 10


def test_subscribing(keeper: blocking.Link) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        stream = None
        with ctrl_c:
            stream = keeper.subscribe(overflow="wait", limit=1)
        if stream is not None:
            stream.close()
        del stream
        settled(alone)

    assert len(at_each_place(scenario, PACKAGE)) > 20


def test_callbacks(keeper: blocking.Link) -> None:
    def put_on(ctrl_c: CtrlC) -> None:
        remove = None
        with ctrl_c:
            remove = keeper.on(_ignore, overflow="wait", limit=1)
        if remove is not None:
            remove()
        settled(alone)

    def take_off(ctrl_c: CtrlC) -> None:
        remove = keeper.on(_ignore, overflow="wait", limit=1)
        with ctrl_c:
            remove()
        remove()
        settled(alone)

    assert len(at_each_place(put_on, PACKAGE)) > 20
    assert len(at_each_place(take_off, PACKAGE)) > 20
    settled(lambda: not [thread for thread in threading.enumerate() if thread.name == "onesocket callback"])


def test_waiting_for_a_state(keeper: blocking.Link) -> None:
    def scenario(ctrl_c: CtrlC) -> None:
        with ctrl_c:
            keeper.wait_for(State.CONNECTED)
            with pytest.raises(WaitTimeout):
                keeper.wait_for(State.FAILED, timeout=0)
        settled(lambda: not keeper._seat._watchers)

    assert len(at_each_place(scenario, PACKAGE)) > 60


def _ignore(_: Any) -> None:
    pass
