"""A page of Node.js with the JavaScript package."""

from collections.abc import AsyncIterator

import pytest

from tests.support.node_page import NodePage


@pytest.fixture
async def page() -> AsyncIterator[NodePage]:
    """A page of Node.js; it ends with the test."""
    async with NodePage() as page:
        yield page
