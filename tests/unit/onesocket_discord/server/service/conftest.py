"""Tests of the service run on both kinds of database, unless they end before it."""

from typing import Final

import pytest

from tests.unit.onesocket_discord.server import service_fixture

_CHECKS: Final = frozenset(
    {
        "test_a_bot_without_message_content_reads_it_by_no_request",
        "test_components_are_checked",
        "test_embeds_are_checked",
        "test_layout_components_are_checked",
        "test_the_size_is_that_of_the_picture_as_it_is_shown",
        "test_these_are_none",
        "test_these_are_emojis",
        "test_what_is_no_message",
        "test_what_is_no_picture_or_broken_has_none",
        "test_what_no_account_can_be_made_from",
        "test_who_changes_which_role",
        "test_who_deletes_which_role",
        "test_who_gives_and_takes_which_role",
        "test_who_may_do_what",
        "test_who_removes_whom",
    }
)
"""Many cases each, of which the database sees nothing, or the same."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Name the databases of a test."""
    kinds = ["sqlite"] if metafunc.function.__name__ in _CHECKS else ["sqlite", "postgresql"]
    if "_database" in metafunc.fixturenames:
        metafunc.parametrize("_database", kinds, indirect=True)


@pytest.fixture(autouse=True)
def _database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a database of this kind the place of services whose test names none."""
    if request.param == "postgresql":
        monkeypatch.setattr(service_fixture, "default_place", request.getfixturevalue("postgresql").emptied_place())
