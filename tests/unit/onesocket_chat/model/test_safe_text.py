"""No text of a user acts on a terminal."""

import sys
import unicodedata

import pytest

from onesocket_chat.model._safe_text import one_line, sanitize


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\r\nthree", "two\nlines\nthree"),
        ("\x1b[31mred\x1b[0m", "\ufffd[31mred\ufffd[0m"),
        ("\x1b]0;title\x07", "\ufffd]0;title\ufffd"),
        ("\x9b31m", "\ufffd31m"),
        ("a\tb", "a    b"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("zero\u200bwidth\u2066x\u2069", "zerowidthx"),
        ("[b]bold[/b] [@click=app.quit]x[/]", "[b]bold[/b] [@click=app.quit]x[/]"),
        ("\u2028line\x85line", "\nline\nline"),
        ("nb\u00a0sp", "nb sp"),
        ("\ud800", "\ufffd"),
        ("👍 ünïcödé 漢字", "👍 ünïcödé 漢字"),
        ("", ""),
    ],
)
def test_texts(text: str, shown: str) -> None:
    assert sanitize(text) == shown


def test_no_character_of_unicode_is_left_that_a_terminal_acts_upon() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = {unicodedata.category(character) for character in sanitize(everything) if character != "\n"}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_one_line_is_one_line_and_short() -> None:
    assert one_line("a\n b\t\tc\r\nd") == "a b c d"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"
