"""Shortening of a reason that is too long for a CLOSE frame."""

import pytest

from onesocket.transports._close_frame import truncate_close_reason


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("short; and whole: yes", "short; and whole: yes"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),  # two bytes each
        ("\udcff", "?"),
        (f"{'a' * 80}; {'b' * 60}", "a" * 80),
        (f"{'a' * 80}; {'b' * 20}: {'c' * 60}", f"{'a' * 80}; {'b' * 20}"),
        (f"{'a' * 80}; {'b' * 20}: {'é' * 60}", f"{'a' * 80}; {'b' * 20}"),
        (f"{'a' * 122}; {'b' * 9}", "a" * 122),
        (f"{'a' * 123}; {'b' * 9}", "a" * 123),
        (f"why: {'a' * 200}", f"why: {'a' * 118}"),  # the clause before it says too little
        ("http://" + "a" * 200, "http://" + "a" * 116),
    ],
)
def test_it_is_cut_where_a_clause_ends(text: str, left: str) -> None:
    assert truncate_close_reason(text) == left
