"""No text of a user acts on a terminal."""

import sys
import unicodedata

import pytest

from onesocket_chat.model._safe_text import clip, one_line, sanitize


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
        ("👨\u200d👩\u200d👧 می\u200cخواهم", "👨\u200d👩\u200d👧 می\u200cخواهم"),
        ("\u200da\u200d\u200cb \u200d c\u200d\n", "ab  c\n"),
        ("z" + "\u0301" * 50 + "y", "z" + "\u0301" * 6 + "y"),
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
    assert one_line("\u202e" * 10_000 + "x", 10) == ""  # what is looked at is bounded, too


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clip("x" * 10, 10) == "x" * 10
    assert clip("x" * 12, 10) == "x" * 10 + "… (2 more characters)"
