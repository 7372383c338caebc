"""Epochs over all owners: a number that a process has been told is never that of another connection."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, OnesocketError, Raw, State, Status
from onesocket.client._status import Change
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream, Own
from onesocket.sharing.host._owner_record import OwnerRecord
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.testing import MemoryPeer, MemoryServer

URL = "ws://epochs.test/"


class EpochSink:
    """Events of one process."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        """Of each connection that was up."""
        self.greeted: list[int] = []
        """Numbers of the greetings that came."""
        self.gaps: list[int] = []
        self.news = asyncio.Event()

    def messages(self, batch: list[Any]) -> None:
        self.greeted += map(int, batch)
        self.news.set()

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap.epoch)

    def changed(self, change: Change, status: Status) -> None:
        if change.new is State.CONNECTED:
            self.epochs.append(status.epoch)
        self.news.set()

    def failed(self, error: OnesocketError) -> None:
        raise error

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.news.clear()
            await self.news.wait()


class GreetingServer(MemoryServer):
    """Greets each connection with its number."""

    def __init__(self) -> None:
        super().__init__(self._greet)
        self.number = 0

    def _greet(self, peer: MemoryPeer) -> None:
        self.number += 1
        peer.accept(greeting=[str(self.number)])


def process(server: GreetingServer, directory: Path, own: Own) -> tuple[HostUpstream, EpochSink]:
    upstream = HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(URL, key="epochs"),
            options={},
            protocol=Raw(),
            make_client=lambda: Client(URL, protocol=Raw(), transport=server.transport()),
            host_options=HostOptions(directory=str(directory), own=own),
        )
    )
    sink = EpochSink()
    upstream.attach(sink)
    return upstream, sink


@pytest.mark.parametrize("file", ["kept", "removed", "an older one"])
async def test_an_owner_without_a_lock_file_counts_on_from_what_its_followers_know(tmp_path: Path, file: str) -> None:
    """The epochs of each process only grow, and what its connection began with still reaches them."""
    server, directory = GreetingServer(), tmp_path / "run"
    first, _ = process(server, directory, Own.ALLOW)
    await first.connect()
    other, known = process(server, directory, Own.NEVER)
    await other.connect()
    await first.reconnect()
    await first.reconnect()
    await known.until(lambda: 3 in known.greeted)
    paths = RuntimePaths.of(ConnectionKey.of(URL, key="epochs").digest(), str(directory))
    if file != "kept":
        shutil.rmtree(directory)
    if file == "an older one":
        RuntimePaths.of("another", str(directory))  # which makes the directory
        paths.lock.write_text(str(OwnerRecord(0, "-", 1, 7)))
    closing = asyncio.ensure_future(first.aclose())
    second, own = process(server, directory, Own.ALLOW)
    await second.connect()
    await known.until(lambda: len(known.epochs) == 4)
    if file != "removed":  # else the owner could not know that there are others
        await known.until(lambda: 4 in known.greeted)
    await closing
    assert known.epochs[-1] == other.status.epoch == second.status.epoch == own.epochs[-1]
    for sink in (known, own):
        assert sink.epochs == sorted(set(sink.epochs))
        assert sink.gaps == sorted(sink.gaps)
    assert known.epochs[-1] > known.epochs[-2]
    assert known.gaps[-1] > known.gaps[-2]
    assert server.most_open == 1
    await other.aclose()
    await second.aclose()
    assert paths.lock.read_text().split()[2] == str(own.epochs[-1])
