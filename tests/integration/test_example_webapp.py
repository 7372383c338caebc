"""examples/webapp: four workers, real uvicorn and gunicorn, one connection upstream. The server counts."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onesocket.sharing.host import listing
from onesocket.testing import FaultyServer

APP = Path(__file__).resolve().parents[2] / "examples" / "webapp"
WORKERS = 4
DEADLINE = 30.0

pytestmark = [pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only"), pytest.mark.timeout(150)]


def command(server: str, listening: int) -> list[str]:
    if server == "uvicorn":
        given = ["--app-dir", str(APP), "--fd", str(listening), "--timeout-graceful-shutdown", "1"]
    else:
        given = ["--chdir", str(APP), "--bind", f"fd://{listening}", "--graceful-timeout", "1"]
        given += ["--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket"]
        if server == "gunicorn --preload":
            given.append("--preload")
    return [sys.executable, "-m", server.split(maxsplit=1)[0], "app:app", "--workers", str(WORKERS), *given]


class EventSourceClient:
    """One EventSource."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.pid = 0
        self.events: list[tuple[str, Any]] = []

    @classmethod
    async def open(cls, port: int) -> "EventSourceClient":
        browser = cls(*await asyncio.open_connection("127.0.0.1", port))
        browser._writer.write(b"GET /events HTTP/1.1\r\nHost: here\r\n\r\n")
        head = await browser._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        browser.pid = (await browser.until("worker"))["pid"]
        return browser

    async def until(self, kind: str, data: Any = None) -> Any:
        """The next event of this kind (with this in it)."""
        async with asyncio.timeout(DEADLINE):
            while True:
                line = await self._reader.readline()
                if not line:
                    raise EOFError(f"worker {self.pid} hung up: {self.events}")
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                    value = json.loads((await self._reader.readline())[6:])
                    self.events.append((name, value))
                    if name == kind and data in (None, value):
                        return value

    def close(self) -> None:
        self._writer.close()


async def ask(port: int, method: str, path: str, body: str = "") -> Any:
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = f"{method} {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((request + body).encode())
        answer = await reader.read()
        writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer
    return rest.decode()


async def one_each(port: int, besides: dict[int, EventSourceClient]) -> None:
    """A browser at every worker; the kernel chooses whose turn it is, so it may take some more than four."""
    async with asyncio.timeout(DEADLINE):
        while len(besides) < WORKERS:
            browser = await EventSourceClient.open(port)
            if besides.setdefault(browser.pid, browser) is not browser:
                browser.close()


@contextlib.asynccontextmanager
async def running(kind: str, upstream: FaultyServer, directory: Path) -> AsyncIterator[tuple[int, Any]]:
    """The application; its port and the process of its master."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=128) as listening,
        (directory.parent / "stderr").open("wb") as errors,
    ):
        process = await asyncio.create_subprocess_exec(
            *command(kind, listening.fileno()),
            env={**os.environ, "UPSTREAM": upstream.url, "ONESOCKET_RUNTIME_DIR": str(directory)},
            pass_fds=(listening.fileno(),),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            yield listening.getsockname()[1], process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a session of its own: the master and its workers
            await process.wait()


@pytest.fixture
async def upstream() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(echo=False) as server:
        yield server


@pytest.mark.parametrize("kind", ["uvicorn", "gunicorn", "gunicorn --preload"])
async def test_four_workers_share_one_connection(kind: str, upstream: FaultyServer, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    browsers: dict[int, EventSourceClient] = {}
    async with running(kind, upstream, directory) as (port, master):
        await one_each(port, browsers)
        assert upstream.counts.handshakes == 1
        await upstream.broadcast("to all")
        await asyncio.gather(*(browser.until("message", "to all") for browser in browsers.values()))
        await ask(port, "POST", "/messages", "from a browser")
        await upstream.wait_until(lambda counts: counts.messages_received == 1, DEADLINE)
        assert upstream.received == ["from a browser"]
        assert "EventSource" in await ask(port, "GET", "/")
        assert json.loads(await ask(port, "GET", "/health"))["state"] == "connected"

        (shared,) = await asyncio.to_thread(listing, str(directory))
        assert shared.followers == WORKERS - 1
        assert shared.pid in browsers
        os.kill(shared.pid, signal.SIGKILL)
        killed = browsers.pop(shared.pid)
        with pytest.raises(EOFError):
            await killed.until("message", "never")
        killed.close()
        await asyncio.gather(*(wait_fed_again(browser, upstream) for browser in browsers.values()))
        await one_each(port, browsers)  # the master has put another worker in its place, which joined
        await upstream.broadcast("to all again")
        await asyncio.gather(*(browser.until("message", "to all again") for browser in browsers.values()))
        assert upstream.counts.handshakes == 2

        for browser in browsers.values():
            browser.close()
        master.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await master.wait()
        counts = await upstream.wait_until(lambda counts: counts.sockets_now == 0, DEADLINE)
    assert counts.most_sockets == 1
    assert counts.premature_closes == 0
    assert counts.close_codes.keys() == {1000}, (counts, (tmp_path / "stderr").read_text()[-2000:])


async def wait_fed_again(browser: EventSourceClient, upstream: FaultyServer) -> None:
    """Clients of the other workers get a gap marker, and the messages after it."""
    await browser.until("gap")
    await upstream.broadcast(f"for {browser.pid}")
    await browser.until("message", f"for {browser.pid}")
