"""Descriptors of asyncio's streams, as the client libraries of engines use them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def open_descriptors(writers: Iterable[Any]) -> list[int]:
    """The descriptors of those `StreamWriter`s that are open; None among them is none.

    A closing one is left out: its number may be another file's at any moment.
    """
    found: list[int] = []
    for writer in writers:
        sock = None if writer is None or writer.is_closing() else writer.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            found.append(sock.fileno())
    return found
