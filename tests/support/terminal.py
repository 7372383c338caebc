"""A command at a pseudo-terminal: what it draws, and what is typed."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from tests.support.commands import COMMAND

DEADLINE = 30.0
_CONTROL = re.compile(rb"\x1b(?:\[[0-9;?=>]*[a-zA-Z$]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])")


class Terminal:
    """A window with one application in it."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._descriptor = descriptor
        self._drawn = bytearray()
        self._news = asyncio.Event()

    def read(self) -> None:
        try:
            self._drawn += os.read(self._descriptor, 65_536)
        except OSError:  # the other side is closed
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._news.set()

    @property
    def drawn(self) -> str:
        """Text that was drawn since `forget()`, without colours and positions."""
        return _CONTROL.sub(b"", self._drawn).decode("utf-8", "replace")

    @property
    def written(self) -> bytes:
        """Bytes that were written since `forget()`, as they are."""
        return bytes(self._drawn)

    def forget(self) -> None:
        self._drawn.clear()

    async def until_drawn(self, text: str) -> None:
        await self._until(lambda: text in self.drawn, text)

    async def until_written(self, data: bytes) -> None:
        await self._until(lambda: data in self._drawn, data)

    async def _until(self, condition: Callable[[], bool], what: object) -> None:
        try:
            async with asyncio.timeout(DEADLINE):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{what!r} was not drawn, but {self.drawn[-1500:]!r}") from None

    def type(self, data: bytes) -> None:
        """In one write, and so, as a rule, in one read of the application."""
        os.write(self._descriptor, data)

    async def dribble(self, data: bytes) -> None:
        """One byte after the other, each as soon as the loop has come round: never mind what the reader is doing."""
        for number in range(len(data)):
            os.write(self._descriptor, data[number : number + 1])
            await asyncio.sleep(0)

    def close(self) -> None:
        """Close the window; the application gets no signal, as it has no controlling terminal here."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)


@asynccontextmanager
async def command_at_terminal(
    *arguments: str, env: Mapping[str, str], size: tuple[int, int] = (100, 30)
) -> AsyncIterator[Terminal]:
    """Start ``onesocket`` at a terminal of so many columns and rows; `env`: its environment, but for the terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, *arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    one = Terminal(ours, process)
    loop.add_reader(ours, one.read)
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        one.close()
