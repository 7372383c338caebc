"""Fixtures that several integration tests share."""

import pytest


@pytest.fixture
def quick_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten Discord's waits, up to 5 s after op 9 and between two Identifies, which decide nothing in a test."""
    monkeypatch.setattr("onesocket_discord.protocol._gateway.INVALID_SESSION_WAIT", (0.0, 0.1))
    monkeypatch.setattr("onesocket_discord.client._identify_budget.IDENTIFY_PERIOD", 0.1)
