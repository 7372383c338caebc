"""The server as its users see it: a child process with an address."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent


class ServerProcess:
    """Starts the server, and ends it with the block."""

    def __enter__(self) -> Self:
        """Start it."""
        command = (sys.executable, "-m", "benchmarks.server")
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        port = self._process.stdout.readline()
        if not port:
            raise RuntimeError("the benchmark's server did not start")
        self.url = f"ws://127.0.0.1:{int(port)}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def control(url: str, method: str, path: str) -> int:
    """Ask the server for KILL or COUNT; blocks for the length of one answer on loopback."""
    host, _, port = url.removeprefix("ws://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\n\r\n".encode())
        return int(sock.recv(64))
