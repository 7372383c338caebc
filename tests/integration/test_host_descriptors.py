"""The n-th file descriptor is refused, for every n: on joining, at a fail-over, and when the files are made again."""

import asyncio
import errno
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from onesocket import State
from onesocket.errors import ConnectFailed, OutOfResources
from onesocket.sharing.host import HostUpstream
from onesocket.testing import FaultyServer
from tests.support.host_processes import HostSink, make_upstream

MOST = 40
"""Descriptors that no step takes."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")


class DescriptorLimit:
    """Refuses the allocations of file descriptors from a number on, so many of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._first = self._last = self._count = 0
        self._is_on = False
        self.steps: list[str] = []
        init, accept = socket.socket.__init__, socket.socket.accept

        def make(sock: socket.socket, *arguments: Any, **named: Any) -> None:
            if named.get("fileno") is None:
                self._take("socket()")
            init(sock, *arguments, **named)

        def accept_one(sock: socket.socket) -> Any:
            if sock.family == socket.AF_UNIX:
                self._take("accept()")
            return accept(sock)

        monkeypatch.setattr(socket.socket, "__init__", make)
        monkeypatch.setattr(socket.socket, "accept", accept_one)
        for name in ("open", "pidfd_open"):
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._counted(getattr(os, name), name))

    def refuse(self, first: int, times: int) -> None:
        """Refuse the descriptor with this number, counted from now on, and some after it."""
        self._first, self._last = first, first + times
        self.steps.clear()
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._count, self._is_on = 0, True

    def stop(self) -> None:
        """Refuse no more."""
        self._is_on = False

    @property
    def was_reached(self) -> bool:
        """True if one was refused."""
        return self._count > self._first

    def _counted(self, call: Callable[..., int], name: str) -> Callable[..., int]:
        def counted(*arguments: Any, **named: Any) -> int:
            self._take(f"{name}({arguments[0]})")
            return call(*arguments, **named)

        return counted

    def _take(self, step: str) -> None:
        if self._is_on:
            self._count += 1
            if self._first < self._count <= self._last:
                self.steps.append(step)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class LimitedProcesses:
    """Upstreams of one machine, each of which stands for a process."""

    def __init__(self, server: FaultyServer, directory: Path, limit: DescriptorLimit) -> None:
        self.server, self.directory, self.limit = server, directory, limit
        self.upstreams: list[HostUpstream] = []

    def make(self) -> tuple[HostUpstream, HostSink]:
        made = make_upstream(self.server.url, self.directory, host={"heartbeat": 0.02, "stopped_after": 5.0})
        self.upstreams.append(made[0])
        return made

    async def aclose(self) -> None:
        for upstream in self.upstreams:
            await upstream.aclose()
        self.upstreams.clear()


@pytest.fixture
async def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LimitedProcesses]:
    async with FaultyServer(echo=False) as server:
        machine = LimitedProcesses(server, tmp_path / "run", DescriptorLimit(monkeypatch))
        yield machine
        machine.limit.stop()
        await machine.aclose()
        assert server.counts.most_sockets == 1


async def for_every_descriptor(limit: DescriptorLimit, times: int, step: Callable[[], Awaitable[None]]) -> None:
    """Take a step again and again, each time with another descriptor refused, until all were."""
    for number in range(MOST):
        limit.refuse(number, times)
        await step()
        limit.stop()
        if not limit.was_reached:
            assert number > 2
            return
    raise AssertionError("it takes more and more descriptors")


@pytest.mark.parametrize("times", [1, 8])
async def test_a_first_join_raises_it_and_the_next_one_works(machine: LimitedProcesses, times: int) -> None:
    async def join() -> None:
        upstream, sink = machine.make()
        try:
            await upstream.connect()
        except ConnectFailed:
            machine.limit.stop()
            await upstream.connect()
        assert sink.states[-1] is State.CONNECTED
        machine.limit.stop()
        await machine.aclose()

    await for_every_descriptor(machine.limit, times, join)


@pytest.mark.parametrize("times", [1, 8])
async def test_a_process_that_joins_an_owner_gets_in_or_a_typed_error(machine: LimitedProcesses, times: int) -> None:
    owner, owner_sink = machine.make()
    await owner.connect()

    async def join() -> None:
        upstream, sink = machine.make()
        try:
            await upstream.connect()
        except OutOfResources:
            machine.limit.stop()
            await upstream.connect()
        assert sink.states[-1] is State.CONNECTED
        await upstream.aclose()

    await for_every_descriptor(machine.limit, times, join)
    assert owner_sink.states[-1] is State.CONNECTED
    assert machine.server.counts.handshakes == 1


@pytest.mark.parametrize("times", [1, 8])
async def test_a_fail_over_is_done_in_the_end(machine: LimitedProcesses, times: int) -> None:
    async def fail_over() -> None:
        machine.limit.stop()
        owner, _ = machine.make()
        await owner.connect()
        follower, sink = machine.make()
        await follower.connect()
        machine.limit.restart()
        await owner.aclose()
        await sink.until(lambda: sink.states[-1] is State.CONNECTED and follower.is_owner)
        assert sink.failures == []
        assert State.FAILED not in sink.states
        machine.limit.stop()
        await machine.aclose()

    await for_every_descriptor(machine.limit, times, fail_over)


async def test_the_files_are_made_again_in_the_end(machine: LimitedProcesses) -> None:
    owner, owner_sink = machine.make()
    await owner.connect()

    async def remove() -> None:
        machine.limit.stop()
        shutil.rmtree(machine.directory)
        machine.limit.restart()
        async with asyncio.timeout(10):
            while not list(machine.directory.glob("*.sock")):  # noqa: ASYNC110 - the file system has no event for it
                await asyncio.sleep(0.001)
        machine.limit.stop()
        upstream, sink = machine.make()
        await upstream.connect()
        assert sink.states[-1] is State.CONNECTED
        await upstream.aclose()

    await for_every_descriptor(machine.limit, 3, remove)
    assert owner_sink.states == [State.CONNECTING, State.CONNECTED]
    assert machine.server.counts.handshakes == 1
