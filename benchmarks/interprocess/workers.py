"""The processes of one measurement, as the one that measures sees them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from typing import Any, Self

from ..server_process import ROOT

_ANSWER_TIMEOUT = 20.0
_EXIT_TIMEOUT = 5.0
# PR_SET_PDEATHSIG, SIGKILL: whatever ends us, a server is not left behind. It outlasts the exec.
_END_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


class Worker:
    """A process of `benchmarks.interprocess.worker_main`."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, carrier: str, role: str, address: str, loop: str) -> Self:
        """Start it, and wait until it is ready."""
        ours, theirs = socket.socketpair()
        with theirs:
            fd = theirs.fileno()
            command = [
                sys.executable,
                "-m",
                "benchmarks.interprocess.worker_main",
                str(fd),
                carrier,
                role,
                address,
                loop,
            ]
            process = subprocess.Popen(command, cwd=ROOT, pass_fds=[fd])  # noqa: ASYNC220, S603 - our own
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 22)
        member = cls(process, reader, writer)
        try:
            await member.hear()
        except BaseException:
            await member.end()
            raise
        return member

    def say(self, **order: Any) -> None:
        """Send one order."""
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """Read the next answer. Raises ConnectionError when the process has ended, TimeoutError when it is silent."""
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            line = await self._reader.readline()
        if not line:
            raise ConnectionError("a process of the measurement has ended; its last words are on stderr")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, **order: Any) -> dict[str, Any]:
        """Send one order, and return its answer."""
        self.say(**order)
        return await self.hear()

    async def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self._writer.close()
        self.process.wait()

    async def end(self) -> None:
        """End the process by closing its socket, or else by a signal."""
        self._writer.close()
        await asyncio.to_thread(_reap, self.process)


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_EXIT_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Daemon:
    """A server program as a child process, on a free port of loopback, without persistence."""

    def __init__(self, command: list[str], directory: str) -> None:
        self._name = command[0]
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        wrapper = [sys.executable, "-c", _END_WITH_PARENT] if sys.platform == "linux" else []
        filled = [*wrapper, *(part.format(port=self.port) for part in command)]
        self.process = subprocess.Popen(  # noqa: S603 - named by the subject
            filled,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def ready(self) -> None:
        """Wait until the server listens. Raises ConnectionError or TimeoutError."""
        async with asyncio.timeout(_ANSWER_TIMEOUT):
            while True:
                if self.process.poll() is not None:
                    raise ConnectionError(f"{self._name} ended with {self.process.returncode}")
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    return

    def cpu(self) -> float:
        """Seconds so far, in hundredths; 0 where the system doesn't tell."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def end(self) -> None:
        """End the process by a signal."""
        self.process.terminate()
        await asyncio.to_thread(_reap, self.process)
