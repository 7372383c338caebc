"""Which parts of a message's text mention somebody."""

import time

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


@pytest.mark.parametrize("address", ["https://a.example/@everyone", "HTTP://a.example/?@here"])
def test_addresses_mention_nobody(address: str) -> None:
    assert AllowedMentions().mentions_everyone(f"see {address}") is False
    assert AllowedMentions().mentions_everyone(f"see {address} @here") is True
    assert AllowedMentions().mentions(f"<@7>{address}<@8>") == [7, 8]


@pytest.mark.parametrize(("content", "codes", "mentioned"), CODE_CASES)
def test_code_begins_where_page_and_terminal_show_it(content: str, codes: list[str], mentioned: list[int]) -> None:
    del codes  # what clients show
    assert AllowedMentions().mentions(content) == mentioned


@pytest.mark.parametrize("piece", ["`", "` ``", "```", "`a", "\\`", "\\``a", "``a` ", "```a\n", "> `\n", "\n> ``` "])
def test_the_search_for_code_takes_time_in_proportion_to_the_length(piece: str) -> None:
    content = piece * (100_000 // len(piece))
    begun = time.process_time()
    assert AllowedMentions().mentions_everyone(f"{content}\n@here")
    assert time.process_time() - begun < 3.0  # a quadratic one takes minutes
