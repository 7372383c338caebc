"""Codes of invites in pasted texts."""

import pytest

from onesocket_chat.session._invite_code import invite_code


@pytest.mark.parametrize(
    "text",
    [
        "AbC-1_2",
        "  AbC-1_2\n",
        "https://chat.example/invite/AbC-1_2",
        "https://chat.example/invite/AbC-1_2/",
        "chat.example/AbC-1_2?from=ada#top",
    ],
)
def test_the_code_is_found_alone_and_in_a_link(text: str) -> None:
    assert invite_code(text) == "AbC-1_2"


def test_what_has_none_is_left_for_the_server_to_refuse() -> None:
    assert invite_code("no code") == "no code"
    assert not invite_code(" / ")
