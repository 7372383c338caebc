"""The command `onesocket serve` in a process of its own, ended by a signal and started again with the same file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from tests.support.commands import COMMAND, read_introduction

_SECONDS: Final = 30.0
_SHOWN: Final = 600


class ServerFailed(Exception):
    """The server did not start, did not end, or did not answer."""


class ServerProcess:
    """Server processes, one after the other, with the same file and the same ports."""

    def __init__(self, folder: Path) -> None:
        self.api_url = ""
        self.gateway_url = ""
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"<ServerProcess {self.api_url or 'not started'}>"

    async def start(self) -> None:
        """Start it, and wait until it listens. The first one takes free ports. Raises `ServerFailed`."""
        ports = [str(urlsplit(url).port or 0) for url in (self.api_url, self.gateway_url)]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*COMMAND, "serve", "--data", str(self._folder)),
                *("--port", ports[0], "--gateway-port", ports[1]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        try:
            lines = await read_introduction(self._process, "stop:")
        except TimeoutError:
            raise ServerFailed(f"it did not listen in time{self._said}") from None
        if not (lines and lines[-1].startswith("stop:")):
            raise ServerFailed(f"it ended at its start{self._said}")
        self.api_url, self.gateway_url = (line.split()[-1] for line in lines if line.startswith(("HTTP", "gateway")))

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def gone(self) -> int:
        """Wait for the end of the process; returns its exit status. Raises `ServerFailed`."""
        if self._process is None:
            return 0
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            raise ServerFailed(f"it did not end within {_SECONDS:g} s{self._said}") from None

    async def create_bot(self, name: str) -> str:
        """Create a bot; returns its token. Raises `ServerFailed`."""
        return str((await self._control("POST", "bots", {"name": name}))["token"])

    async def stats(self) -> dict[str, int]:
        """The server's counts since its start. Raises `ServerFailed`."""
        counted: dict[str, int] = await self._control("GET", "stats")
        return counted

    @property
    def _log(self) -> Path:
        return self._folder / "serve.log"

    @property
    def _said(self) -> str:
        said = self._log.read_text("utf-8", "replace").strip()[-_SHOWN:]
        return f": {said}" if said else ""

    async def _control(self, method: str, what: str, body: dict[str, str] | None = None) -> Any:
        control = json.loads((self._folder / "chat.db.control.json").read_text("utf-8"))
        headers = {"Authorization": f"Control {control['token']}"}
        try:
            async with (
                asyncio.timeout(_SECONDS),
                aiohttp.ClientSession(headers=headers) as http,
                http.request(method, f"{control['url']}{what}", json=body) as answer,
            ):
                answer.raise_for_status()
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServerFailed(f"/control/{what}: {error!r}{self._said}") from error


@contextlib.asynccontextmanager
async def running_server(folder: Path) -> AsyncIterator[ServerProcess]:
    """A server with its file in `folder`; no process of it is left afterwards."""
    server = ServerProcess(folder)
    try:
        await server.start()
        yield server
    finally:
        server.kill(signal.SIGKILL)
        await server.gone()
