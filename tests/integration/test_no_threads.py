"""A process that can have no further thread: typed errors, nothing left behind, and all works again later."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

import onesocket
import onesocket.blocking
from onesocket import DurableOutbox, Json
from onesocket.errors import OutOfResources, TokenFailed
from onesocket.protocols import Acknowledgement
from onesocket.sharing._registry import current_registry
from onesocket.testing import FaultyServer

DESCRIPTORS = Path("/proc/self/fd")


class ThreadLimit:
    """Lets so many threads of the library start, and no further one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        self.is_refusing = threading.Event()
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if self.left is not None and thread.name.startswith("onesocket"):
                if not self.left:
                    self.is_refusing.set()
                    raise RuntimeError("can't start new thread")
                self.left -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadLimit]:
    found = ThreadLimit(monkeypatch)
    yield found
    found.left = None


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=True) as running:
        yield running


def open_descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir())) if DESCRIPTORS.exists() else 0


def run_blocking(url: str) -> list[str]:
    """Join, set a callback, send and receive, with three threads or so."""
    got: list[str] = []
    is_there = threading.Event()

    def take(message: str) -> None:
        got.append(message)
        is_there.set()

    with onesocket.blocking.join(url, token=lambda: "token") as client:
        client.on(None, take)
        client.send("hello")
        assert is_there.wait(10)
    return got


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - other threads end
            await asyncio.sleep(0.001)


def nothing_is_shared() -> bool:
    """True once the last connection is gone, and the thread that it lived in."""
    return not len(current_registry()) and not any(thread.name == "onesocket owner" for thread in threading.enumerate())


async def test_whichever_thread_is_refused_it_is_a_typed_error_and_the_next_join_works(
    server: FaultyServer, limit: ThreadLimit
) -> None:
    url = server.url.replace("127.0.0.1", "localhost")  # a name is looked up in a thread
    assert await asyncio.to_thread(run_blocking, url) == ["hello"]
    await until(nothing_is_shared)
    before = open_descriptors()
    texts: list[str] = []
    for number in range(20):
        limit.left = number
        limit.is_refusing.clear()
        try:
            assert await asyncio.to_thread(run_blocking, url) == ["hello"]
        except OutOfResources as error:
            texts.append(str(error))
        except TokenFailed as error:  # the source was not called
            texts.append(str(error.__cause__) * error.retryable)
        await until(nothing_is_shared)
        if not limit.is_refusing.is_set():
            break
    else:
        raise AssertionError("it wants more threads without end")
    assert len(texts) >= 3
    assert all("can't start new thread" in text for text in texts)
    assert OutOfResources.retryable
    limit.left = None
    assert await asyncio.to_thread(run_blocking, url) == ["hello"]
    await until(nothing_is_shared)
    await until(lambda: open_descriptors() <= before)


async def join_and_send(url: str) -> None:
    async with onesocket.join(url, scope="process") as client:
        await client.send("hello")


async def test_joining_in_an_event_loop_of_a_thread_is_refused_in_the_same_way(
    server: FaultyServer, limit: ThreadLimit
) -> None:
    before = open_descriptors()
    await asyncio.to_thread(asyncio.run, join_and_send(server.url))
    await until(lambda: nothing_is_shared() and open_descriptors() <= before)  # the server has closed its end, too
    limit.left = 0
    for _ in range(3):
        with pytest.raises(OutOfResources, match="no further thread"):
            await asyncio.to_thread(asyncio.run, join_and_send(server.url))
    assert len(current_registry()) == 0
    assert open_descriptors() == before
    limit.left = None
    await asyncio.to_thread(asyncio.run, join_and_send(server.url))


async def test_a_thread_that_joins_a_connection_of_the_main_loop_is_refused_in_the_same_way(
    server: FaultyServer, limit: ThreadLimit
) -> None:
    limit.left = 0
    async with onesocket.join(server.url) as client:
        with pytest.raises(OutOfResources, match="no further thread"):
            await asyncio.to_thread(onesocket.blocking.join, server.url)
        await client.send("hello")
    assert len(current_registry()) == 0


async def test_a_durable_outbox_needs_a_thread(server: FaultyServer, limit: ThreadLimit, tmp_path: Path) -> None:
    acknowledgement = Acknowledgement(id_of=lambda message: message["id"], acknowledged_by=lambda _: None)
    client = onesocket.Client(
        server.url,
        protocol=Json(acknowledges=acknowledgement),
        outbox=DurableOutbox(tmp_path / "outbox"),
    )
    limit.left = 0
    with pytest.raises(OutOfResources):
        await client.connect()
    limit.left = None
    await client.connect()
    await client.aclose()
