"""Ctrl-C at every place of every call of a blocking client, on a real connection: no leak, and calls go on after.

The places are those of the calling thread: `close()`, `off()` and `wait_for()` have few, as their work is done on the
host loop, where no Ctrl-C comes.
"""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from onesocket import State, blocking
from onesocket._forking import ForkGuard
from onesocket.errors import WaitTimeout
from onesocket.sharing._registry import current_registry
from onesocket.sharing._shared_connection import SharedConnection
from onesocket.testing import FaultyServer, ThreadedServer
from tests.unit.onesocket.blocking.keyboard_interrupt import PACKAGE, InjectedInterrupt, at_each_place


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with ThreadedServer(FaultyServer()) as threaded:  # Ctrl-C comes to the main thread, which runs the tests
        yield threaded.server


@pytest.fixture
def other_member(server: FaultyServer) -> Iterator[blocking.SharedClient]:
    """A shared client that keeps the connection up, so that nothing is dialled at each place."""
    with blocking.join(server.url) as client:
        yield client
    assert len(current_registry()) == 0


def only_connection() -> SharedConnection:
    (shared,) = current_registry()._shared.values()
    return shared


def wait_until(is_so: Callable[[], bool], within: float = 5.0) -> None:
    """Other threads bring it about: looked at again and again, and no longer than so."""
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end, "never"
        time.sleep(0)


def only_other_member_left() -> bool:
    """The keeper is the only one that is known."""
    shared = only_connection()
    handles = [member.handle for member in tuple(shared._members)]
    streams = sum(len(handle.fan_out._queues) for handle in handles if handle is not None)
    return shared.count == 1 and len(shared._members) == 1 and streams == 1


def pauses_in_another_thread(guard: ForkGuard) -> None:
    """Nothing of the guard is held by this thread: another one can fork, at once."""

    def forks() -> None:
        began = time.monotonic()
        guard.pause_for_fork(5)
        guard.resume_after_fork()
        took.append(time.monotonic() - began)

    took: list[float] = []
    thread = threading.Thread(target=forks, daemon=True)
    thread.start()
    thread.join(10)
    assert took
    assert took[0] < 4


def test_joining(server: FaultyServer, other_member: blocking.SharedClient) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        client = None
        with ctrl_c:
            client = blocking.join(server.url)
        if client is not None:
            client.close()
        wait_until(only_other_member_left)

    assert len(at_each_place(scenario, PACKAGE)) > 100


def test_joining_first(server: FaultyServer) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        client = None
        with ctrl_c:
            client = blocking.join(server.url)
        if client is not None:
            client.close()
        wait_until(lambda: len(current_registry()) == 0 and current_registry().host_thread is None)
        pauses_in_another_thread(current_registry()._fork_guard)

    assert len(at_each_place(scenario, PACKAGE, step=3)) > 100
    wait_until(lambda: server.counts.sockets_now == 0)
    assert server.counts.most_sockets == 1


@pytest.mark.parametrize("again", [True, False], ids=["and once more", "and forgetting it"])
def test_closing(server: FaultyServer, other_member: blocking.SharedClient, *, again: bool) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        client = blocking.join(server.url)
        with ctrl_c:
            client.close()
        if again:
            client.close()
        del client
        wait_until(only_other_member_left)

    assert len(at_each_place(scenario, PACKAGE)) > 30


def echoed(other_member: blocking.SharedClient) -> list[str]:
    """The messages that the client receives, up to the echo of one that is sent now."""
    other_member.send("two", timeout=5)
    told: list[Any] = [other_member.receive(5)]
    if told == ["one"]:
        told.append(other_member.receive(5))
    assert told[-1] == "two"
    return told


def test_sending(other_member: blocking.SharedClient) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        is_sent = False
        with ctrl_c:
            other_member.send("one", timeout=5)
            is_sent = True
        assert echoed(other_member) == ["one", "two"] or not is_sent

    assert len(at_each_place(scenario, PACKAGE)) > 20


def test_sending_without_waiting(other_member: blocking.SharedClient) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        with ctrl_c:
            other_member.send_nowait("one")
        assert echoed(other_member) == ["one", "two"] or ctrl_c.where

    assert len(at_each_place(scenario, PACKAGE)) > 10


def test_subscribing(other_member: blocking.SharedClient) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        stream = None
        with ctrl_c:
            stream = other_member.subscribe(overflow="wait", limit=1)
        if stream is not None:
            stream.close()
        del stream
        wait_until(only_other_member_left)

    assert len(at_each_place(scenario, PACKAGE)) > 20


def test_callbacks(other_member: blocking.SharedClient) -> None:
    def put_on(ctrl_c: InjectedInterrupt) -> None:
        is_on = False
        with ctrl_c:
            is_on = other_member.on(_ignore, overflow="wait", limit=1) is _ignore
        if is_on:
            other_member.off(_ignore)
        wait_until(only_other_member_left)

    def take_off(ctrl_c: InjectedInterrupt) -> None:
        other_member.on(_ignore, overflow="wait", limit=1)
        with ctrl_c:
            other_member.off(_ignore)
        other_member.off(_ignore)
        wait_until(only_other_member_left)

    assert len(at_each_place(put_on, PACKAGE)) > 20
    assert len(at_each_place(take_off, PACKAGE)) > 15
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "onesocket callback"])


def test_waiting_for_a_state(other_member: blocking.SharedClient) -> None:
    def scenario(ctrl_c: InjectedInterrupt) -> None:
        with ctrl_c:
            other_member.wait_for(State.CONNECTED)
            with pytest.raises(WaitTimeout):
                other_member.wait_for(State.FAILED, timeout=0)
        wait_until(lambda: not other_member._handle._state_watchers._waiters)

    assert len(at_each_place(scenario, PACKAGE)) > 30


def _ignore(_: Any) -> None:
    pass
