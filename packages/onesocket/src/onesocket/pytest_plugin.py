"""Fixtures for tests of programs that use onesocket; loaded by pytest when onesocket is installed.

- `faulty_server`: a `FaultyServer` on the test's event loop. Async fixtures need pytest-asyncio, or another plugin that
  runs them.
- `threaded_faulty_server`: a `ThreadedServer` with a `FaultyServer`, for synchronous code and for code in threads.
- `memory_server`: a `MemoryServer`; its `transport()` goes to ``Client(transport=…)``.
- `cassette`: a `Cassette`: a conversation with a server, recorded once and replayed on virtual time. Its file
  is ``cassettes/<module>/<class>.<test>.jsonl`` beside the test's; another one is named by
  ``@pytest.mark.cassette("other.jsonl", redact=False)``, and ``pytest --cassettes=once|replay|record`` says whether it
  is recorded.

All but `memory_server` need the extra `testing`, which is imported when a test asks for one of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:
    async_fixture: Any = pytest.fixture  # type: ignore[no-redef]

if TYPE_CHECKING:
    from .testing import Cassette, FaultyServer, ThreadedServer
    from .transports._memory import MemoryServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cassettes`."""
    parser.getgroup("onesocket").addoption(
        "--cassettes",
        choices=("once", "replay", "record"),
        default="once",
        help="Cassettes of onesocket: record those that have no file (once), none (replay), or all (record).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker `cassette`."""
    config.addinivalue_line("markers", "cassette(path, redact=True): the file of the fixture `cassette` of onesocket")


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


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Cassette:
    """A `Cassette` for this test; see the module's docstring."""
    from .testing import Cassette, CassetteMode  # noqa: PLC0415

    marker = request.node.get_closest_marker("cassette")
    args: tuple[Any, ...] = () if marker is None else marker.args
    options: dict[str, Any] = {} if marker is None else marker.kwargs
    name = quote(request.node.nodeid.partition("::")[2].replace("::", "."), safe="[] ,=+@()")
    path = request.path.parent / (args[0] if args else f"cassettes/{request.path.stem}/{name}.jsonl")
    return Cassette(path, mode=CassetteMode(request.config.getoption("--cassettes")), **options)
