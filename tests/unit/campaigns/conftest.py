"""Fixtures of the tests of campaigns."""

import json
from typing import Any

import pytest

from tests.campaigns.chaos import numbered
from tests.campaigns.chaos_cluster import worker


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the events "wrong" that readers write."""
    texts: list[str] = []

    def write(event: str, **more: Any) -> None:
        assert event == "wrong"
        texts.append(json.loads(json.dumps(more))["text"])

    for module in (numbered, worker):
        monkeypatch.setattr(module, "write_event", write)
    return texts
