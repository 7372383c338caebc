"""The feed as lines of JSON: one for each message, gap and refusal, in order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec

from .._printable import printable
from ..client import Gap, State
from ..errors import SubscriptionRefused
from ._output import Output
from ._remarks import gap_text

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


class FeedLines:
    """A `FeedView` for pipes and files."""

    last_words = "onesocket: aborted\n"

    def __init__(self, output: Output, key_of: Callable[[Any], Hashable]) -> None:
        self._output = output
        self._key_of = key_of
        self._is_terminal = sys.stdout is not None and sys.stdout.isatty()

    def __repr__(self) -> str:
        return f"<FeedLines {self._output!r}>"

    def open(self) -> None:
        """Nothing: lines need no beginning."""

    def close(self) -> None:
        """Nothing, as above."""

    async def message(self, message: Any) -> None:
        """Write its key and the message, with the service's own names."""
        await self._write({"key": self._key_of(message), "message": message})

    async def gap(self, gap: Gap) -> None:
        """Write the reason, and the number of missing messages where that is known."""
        self._output.note(gap_text(gap))
        error = None if gap.error is None else str(gap.error)
        await self._write({"gap": gap.reason.value, "missed": gap.missed, "error": error})

    async def refused(self, error: SubscriptionRefused) -> None:
        """Write the keys and the reason."""
        await self._write({"refused": error.keys, "reason": error.reason})

    def changed(self, state: State) -> None:
        """Nothing: remarks tell it."""

    async def _write(self, line: dict[str, Any]) -> None:
        text = _encode(line).decode()
        await self._output.message(printable(text) if self._is_terminal else text)
