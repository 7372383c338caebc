"""The fixture `chat_server`, for tests of bots: a fresh chat server on free ports, in memory.

Async tests need pytest-asyncio (or whatever else runs async fixtures).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture
except ImportError:
    fixture: Any = pytest.fixture  # type: ignore[no-redef]

if TYPE_CHECKING:
    from .server._chat_server import ChatServer


@fixture
async def chat_server() -> AsyncIterator[ChatServer]:
    """A `ChatServer` that lets bots identify as often as they like."""
    from .server import ChatServer, GatewayOptions  # noqa: PLC0415 - tests without a chat server don't pay for it

    async with ChatServer(options=GatewayOptions(identify_interval=0)) as server:
        yield server
