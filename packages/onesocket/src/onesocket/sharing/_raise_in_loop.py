"""What ends a program, raised where it harms nobody's connection."""

from __future__ import annotations

import asyncio


def raise_in_loop(error: BaseException) -> None:
    """Raise this out of the running loop, in a turn of its own: this one may be the feed's, which is everybody's."""
    asyncio.get_running_loop().call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
