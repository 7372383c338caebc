"""Output of a command: messages to stdout, remarks to stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import sys
from collections.abc import Sequence

from .._printable import printable
from ..wire._secrets import mask_secrets
from ._option_names import with_option_names
from ._readiness import wait_ready

# A pipe that reports "writable" takes this many bytes without blocking (POSIX).
_WRITE_BYTES = getattr(select, "PIPE_BUF", 512)


def silence_log() -> None:
    """Silence the library's log: the command itself shows the state of the connection.

    Without any handler, Python would write the log's warnings to stderr.
    """
    logging.getLogger("onesocket").addHandler(logging.NullHandler())


class Output:
    """Writes without blocking the event loop: signals and deadlines work while a slow reader delays the output.

    `secrets` are masked in remarks, as the error page of a server may repeat the request.
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
        """Write one message, already printable, as a line. Raises BrokenPipeError once stdout has no reader."""
        data = memoryview((text + "\n").encode(self._encoding, "backslashreplace"))
        while data:
            await _writable(self._fd)
            data = data[os.write(self._fd, data[:_WRITE_BYTES]) :]

    def note(self, text: str) -> None:
        """Write a remark, unless --quiet."""
        if not self._quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """Write a remark."""
        self._print(f"-- {text}")

    def fail(self, text: str) -> None:
        """Write the reason of a failure."""
        self._print(f"onesocket: {text}")

    def _print(self, text: str) -> None:
        if sys.stderr is not None:  # closed (`2>&-`): print() would take stdout for it
            print(printable(mask_secrets(with_option_names(text), self._secrets)), file=sys.stderr, flush=True)  # noqa: T201 - the command's own words


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    try:
        await wait_ready(fd, loop.add_writer, loop.remove_writer)
    except NotImplementedError:  # Windows
        await asyncio.sleep(0)
