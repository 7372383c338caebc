"""Which parts of a message's text mention somebody."""

import pytest

from onesocket_discord.server.service._message_draft import AllowedMentions
from tests.support.code_in_messages import CODE_CASES


@pytest.mark.parametrize(
    ("content", "mentioned"),
    [
        ("`<@7> @everyone`", False),
        ("``<@7> ` @here``", False),
        ("a ```py\n<@7>\n@everyone\n``` b", False),
        ("`a` and `<@7> @everyone`", False),
        ("` <@7> @everyone", True),
        ("`a` <@7> @everyone `b`", True),
        ("\\`<@7> @everyone\\`", True),
        ("``` <@7> @everyone", True),
        ("\\``<@7> @everyone`", False),
        ("```a````<@7> @everyone`", False),
        ("a``` `` <@7> @everyone", True),
    ],
)
def test_code_mentions_nobody(content: str, mentioned: bool) -> None:
    allowed = AllowedMentions()
    assert allowed.mentions(content) == ([7] if mentioned else [])
    assert allowed.mentions_everyone(content) is mentioned


@pytest.mark.parametrize(("content", "codes", "mentioned"), CODE_CASES)
def test_code_begins_where_page_and_terminal_show_it(content: str, codes: list[str], mentioned: list[int]) -> None:
    del codes  # what clients show
    assert AllowedMentions().mentions(content) == mentioned


def test_no_text_makes_the_search_for_code_slow() -> None:
    for piece in ("`", "` ``", "```", "`a", "\\`", "``a` "):
        content = (piece * 2000)[:1990] + "@here"
        assert AllowedMentions().mentions_everyone(content) in {True, False}
