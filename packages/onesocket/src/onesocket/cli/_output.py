"""Where messages and remarks go: messages to stdout, everything else to stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import sys
from collections.abc import Sequence

from ..wire._secrets import mask_secrets
from ._printable import printable

# A pipe that reports "writable" takes this many bytes without blocking (POSIX).
_WRITE_BYTES = getattr(select, "PIPE_BUF", 512)


def silence_log() -> None:
    """Leave the log alone: the command says itself how the connection stands.

    Without any handler, Python would write the log's warnings to stderr.
    """
    logging.getLogger("onesocket").addHandler(logging.NullHandler())


class Output:
    """Writes without blocking the event loop: while a slow reader lets us wait, signals and deadlines still work.

    `secrets` are masked in remarks, whoever wrote them: a server's error page may repeat what it was sent.
    """

    def __init__(self, *, secrets: Sequence[str] = (), quiet: bool = False) -> None:
        self._secrets = tuple(secrets)
        self._quiet = quiet
        # Python has no sys.stdout when the descriptor was closed (`>&-`), and the number may belong to others by now.
        self._fd = os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else sys.stdout.fileno()
        self._encoding = getattr(sys.stdout, "encoding", None) or "utf-8"

    def __repr__(self) -> str:
        return f"<Output fd={self._fd}{' quiet' if self._quiet else ''}>"

    async def message(self, text: str) -> None:
        """One message, already harmless, as a line of its own. Raises BrokenPipeError when nobody reads any more."""
        data = memoryview((text + "\n").encode(self._encoding, "backslashreplace"))
        while data:
            await _writable(self._fd)
            data = data[os.write(self._fd, data[:_WRITE_BYTES]) :]

    def note(self, text: str) -> None:
        """A remark that --quiet leaves out."""
        if not self._quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """A remark."""
        self._print(f"-- {text}")

    def fail(self, text: str) -> None:
        """Why the command fails, or what it could not do."""
        self._print(f"onesocket: {text}")

    def _print(self, text: str) -> None:
        if sys.stderr is not None:  # closed (`2>&-`): print() would take stdout for it
            print(printable(mask_secrets(text, self._secrets)), file=sys.stderr, flush=True)  # noqa: T201 - the command's own words


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_writer(fd, _resolve, ready)
    except (PermissionError, NotImplementedError):
        await asyncio.sleep(0)  # a regular file (epoll takes none), or Windows
        return
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
