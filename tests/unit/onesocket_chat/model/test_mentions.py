"""Names that are written, and mentions that are stored."""

import re

import pytest

from onesocket_chat.model._mentions import MentionCompletion, decode_mentions, encode_mentions
from onesocket_chat.model._models import User
from tests.support.code_in_messages import CODE_CASES

PEOPLE = [User(1, "ada"), User(2, "Ann"), User(3, "ann b"), User(4, "a.c"), User(5, "")]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("@ada hello", "<@1> hello"),
        ("hi @ADA, @ann b and @ann!", "hi <@1>, <@3> and <@2>!"),
        ("ada@ada.org @adam @nobody", "ada@ada.org @adam @nobody"),
        ("(@a.c) @abc", "(<@4>) @abc"),
        ("<@1> @", "<@1> @"),
        ("`@ada` @ada", "`@ada` <@1>"),
        ("@ada ```py\n@ada\n``` ``@ada ` @ada`` @ada", "<@1> ```py\n@ada\n``` ``@ada ` @ada`` <@1>"),
        ("https://social.example/@ada/1 @ada", "https://social.example/@ada/1 <@1>"),
        ("` @ada", "` <@1>"),
        ("\\`@ada\\`", "\\`<@1>\\`"),
        ("\\``@ada`", "\\``@ada`"),
        ("``` `` @ada", "``` `` <@1>"),
    ],
)
def test_names_become_mentions(text: str, sent: str) -> None:
    assert encode_mentions(text, PEOPLE) == sent


@pytest.mark.parametrize(("text", "codes", "mentioned"), CODE_CASES)
def test_no_name_becomes_a_mention_where_code_is_shown(text: str, codes: list[str], mentioned: list[int]) -> None:
    people = [User(number, f"u{number}") for number in (1, 2, 3)]
    sent = re.sub("<@([0-9])>", lambda found: found[0] if int(found[1]) in mentioned else f"@u{found[1]}", text)
    assert encode_mentions(re.sub("<@([0-9])>", "@u\\1", text), people) == sent
    assert (text != sent) is any("<@" in code for code in codes)


def test_mentions_become_names_where_they_are_known() -> None:
    people = {person.id: person for person in PEOPLE}
    assert decode_mentions("<@1> <@!2> <@5> <@9>", people) == "@ada @Ann <@5> <@9>"
    assert decode_mentions("`<@1>` <@1>", people) == "`<@1>` @ada"


def test_a_name_is_completed_and_the_next_one_after_it() -> None:
    completion, names = MentionCompletion(), ["ada", "Ann", "bob"]
    assert completion.complete("hi @a", names) == (2, "@ada ")
    assert completion.complete("hi @ada ", names) == (5, "@Ann ")
    assert completion.complete("hi @Ann ", names) == (5, "@ada ")
    assert completion.complete("hi @ada @", names) == (1, "@ada ")
    assert completion.complete("hi @x", names) is None
    assert completion.complete("ada@b", names) is None
    assert completion.complete("hi ", names) is None
