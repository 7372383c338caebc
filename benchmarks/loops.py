"""The event loops that everything is measured on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of that event loop; None is asyncio's own."""
    if name == "asyncio":
        return None
    import uvloop  # noqa: PLC0415 - one of the two kinds of worker needs it

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
