"""Tests of the store run on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "file", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Make an empty database; yields its place."""
    if request.param != "postgresql":
        yield ":memory:" if request.param == "memory" else str(tmp_path / "100% chat.db")
        return
    with request.getfixturevalue("postgresql").place() as url:
        yield url
