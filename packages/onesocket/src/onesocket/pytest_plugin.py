"""Fixtures for tests of programs that use onesocket; loaded by pytest when onesocket is installed.

- `faulty_server`: a `FaultyServer` on the test's event loop. Async fixtures need pytest-asyncio, or another plugin that
  runs them.
- `threaded_faulty_server`: a `ThreadedServer` with a `FaultyServer`, for synchronous code and for code in threads.
- `memory_server`: a `MemoryServer`; its `transport()` goes to ``Client(transport=…)``.

The first two need the extra `testing`, which is imported when a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    async_fixture: Any = pytest.fixture  # type: ignore[no-redef]

if TYPE_CHECKING:
    from .testing import FaultyServer, ThreadedServer
    from .transports._memory import MemoryServer


@async_fixture
async def faulty_server() -> AsyncIterator[FaultyServer]:
    """A `FaultyServer` without faults, on the event loop of the test; set its `faults` in the test."""
    from .testing import FaultyServer  # noqa: PLC0415 - see the module's docstring

    async with FaultyServer() as server:
        yield server


@pytest.fixture
def threaded_faulty_server() -> Iterator[ThreadedServer[FaultyServer]]:
    """A `FaultyServer` without faults, in a thread of its own."""
    from .testing import FaultyServer, ThreadedServer  # noqa: PLC0415

    with ThreadedServer(FaultyServer()) as threaded:
        yield threaded


@pytest.fixture
def memory_server() -> MemoryServer:
    """A `MemoryServer` that accepts every dial."""
    from .transports._memory import MemoryServer  # noqa: PLC0415

    return MemoryServer()
