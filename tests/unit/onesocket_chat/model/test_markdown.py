"""Markdown of messages: what is marked, what stays text, and that no text can hold up the application."""

import time

import pytest

from onesocket_chat.model._markdown import Mark, Run, link_target, mentioned, parse_markdown
from tests.support.code_in_messages import CODE_CASES


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("plain", [("plain", Mark.PLAIN)]),
        ("", []),
        (
            "**b** *i* _i_",
            [("b", Mark.BOLD), (" ", Mark.PLAIN), ("i", Mark.ITALIC), (" ", Mark.PLAIN), ("i", Mark.ITALIC)],
        ),
        ("__u__~~s~~", [("u", Mark.UNDERLINE), ("s", Mark.STRIKE)]),
        ("***x***", [("x", Mark.BOLD | Mark.ITALIC)]),
        (
            "*a **b** c*",
            [("a ", Mark.ITALIC), ("b", Mark.ITALIC | Mark.BOLD), (" c", Mark.ITALIC)],
        ),
        ("**a *b***", [("a ", Mark.BOLD), ("b", Mark.ITALIC | Mark.BOLD)]),
        ("***a** b*", [("a", Mark.ITALIC | Mark.BOLD), (" b", Mark.ITALIC)]),
        ("***a* b**", [("a", Mark.ITALIC | Mark.BOLD), (" b", Mark.BOLD)]),
        (
            "__a _b___ ___c___",
            [
                ("a ", Mark.UNDERLINE),
                ("b", Mark.UNDERLINE | Mark.ITALIC),
                (" ", Mark.PLAIN),
                ("c", Mark.UNDERLINE | Mark.ITALIC),
            ],
        ),
        ("~~||a **b**||~~", [("a ", Mark.STRIKE | Mark.SPOILER), ("b", Mark.STRIKE | Mark.SPOILER | Mark.BOLD)]),
        ("**** ** * ____", [("**** ** * ____", Mark.PLAIN)]),
        ("||a *b*||", [("a ", Mark.SPOILER), ("b", Mark.SPOILER | Mark.ITALIC)]),
        ("snake_case_name a * b * c **", [("snake_case_name a * b * c **", Mark.PLAIN)]),
        ("`a **b**` ``c`d``", [("a **b**", Mark.CODE), (" ", Mark.PLAIN), ("c`d", Mark.CODE)]),
        ("x```py\nif y:\n  z\n```", [("x", Mark.PLAIN), ("\n", Mark.PLAIN), ("if y:\n  z", Mark.BLOCK)]),
        ("``````", [("``````", Mark.PLAIN)]),
        ("> ```a b\n> ```c", [("a b", Mark.BLOCK | Mark.QUOTE), ("\n", Mark.QUOTE), ("c", Mark.QUOTE)]),
        ("> a\n> b\nc", [("a\nb", Mark.QUOTE), ("\n", Mark.PLAIN), ("c", Mark.PLAIN)]),
        (">_< >:(\n>>> x", [(">_< >:(\n>>> x", Mark.PLAIN)]),
        ("\\*a\\*", [("*a*", Mark.PLAIN)]),
        ("<@12> <#3>", [("12", Mark.USER), (" ", Mark.PLAIN), ("3", Mark.CHANNEL)]),
        ("@everyone", [("@everyone", Mark.EVERYONE)]),
        ("[bold]a[/bold]", [("[bold]a[/bold]", Mark.PLAIN)]),
        ("(https://e.org/a_b_c).", [("(", Mark.PLAIN), ("https://e.org/a_b_c", Mark.LINK), (").", Mark.PLAIN)]),
        ("<https://e.org>", [("https://e.org", Mark.LINK)]),
        # The text of a link is its address.
        (
            "[bank](https://evil.example)",
            [("[bank](", Mark.PLAIN), ("https://evil.example", Mark.LINK), (")", Mark.PLAIN)],
        ),
        ("https://b\u0430nk.example", [("https://b\u0430nk.example", Mark.PLAIN)]),
        ("https://bank.example@evil.example", [("https://bank.example@evil.example", Mark.PLAIN)]),
    ],
)
def test_texts(text: str, runs: list[tuple[str, Mark]]) -> None:
    assert parse_markdown(text) == [Run(*run) for run in runs]


@pytest.mark.parametrize(("text", "codes", "mentioned"), CODE_CASES)
def test_code_begins_where_server_and_page_see_it(text: str, codes: list[str], mentioned: list[int]) -> None:
    runs = parse_markdown(text)
    assert [run.text for run in runs if run.marks & (Mark.CODE | Mark.BLOCK)] == codes
    assert [int(run.text) for run in runs if Mark.USER in run.marks] == mentioned


def test_an_address_is_ascii_where_the_terminal_takes_it() -> None:
    assert link_target("https://e.org/ü?q=a%20b#c") == "https://e.org/%C3%BC?q=a%20b#c"
    assert link_target('https://e.org/"\x07;x') == "https://e.org/%22%07;x"
    assert link_target("https://") is None
    assert link_target("https://[") is None


def test_mentions_are_found_once_for_each_time() -> None:
    assert mentioned("<@1> <@!2> <#3> <@x> <@1>") == [("@", 1), ("@", 2), ("#", 3), ("@", 1)]


@pytest.mark.parametrize(
    "part",
    [
        "*",
        "**a ",
        "`",
        "` ",
        "_a ",
        "||a",
        "<",
        "h",
        "```",
        "```a",
        "\n>a\nb",
        "https://",
        "*_",
        "```a\n",
        "*`a`* ",
        "> `\n",
    ],
)
def test_parsing_takes_time_in_proportion_to_the_length(part: str) -> None:
    text = part * (100_000 // len(part))
    begun = time.process_time()
    parse_markdown(text)
    assert time.process_time() - begun < 3.0  # a quadratic one takes minutes
