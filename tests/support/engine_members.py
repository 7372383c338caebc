"""Members of one key at an engine under test, and the errors that they get."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import pytest

from onesocket.errors import OnesocketError
from onesocket.sharing.cluster._coordinator import ClusterEngine, ClusterKey, Coordinator

KEY: Final = ClusterKey.of("0123456789abcdef" * 4)
REDIS_BASE: Final = f"onesocket:{{{KEY.digest}}}:"
"""Begins the names of its keys."""
NATS_STREAM: Final = f"onesocket-{KEY.digest}"
NATS_BASE: Final = f"onesocket.{KEY.digest}."
"""Begins its subjects."""


def open_pair(engine: ClusterEngine) -> tuple[Coordinator, Coordinator]:
    """Two members."""
    return engine.open(KEY, "a"), engine.open(KEY, "b")


@asynccontextmanager
async def opened(engine: ClusterEngine, name: str = "a") -> AsyncIterator[Coordinator]:
    """A member, which is closed at the end."""
    coordinator = engine.open(KEY, name)
    try:
        yield coordinator
    finally:
        await coordinator.aclose()


async def error_of_check(member: AbstractAsyncContextManager[Coordinator], kind: type[OnesocketError]) -> Any:
    """The error of `check()`, which is the one of the first operation too; it shows no password (`hunter2`)."""
    async with member as coordinator:
        with pytest.raises(kind) as caught:
            await coordinator.check()
        assert type(caught.value) is kind
        assert "hunter" not in f"{caught.value}{coordinator!r}{caught.value.__dict__}"
        return caught.value
