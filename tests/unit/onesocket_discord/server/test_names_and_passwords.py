"""The rules for names and passwords."""

import pytest

from onesocket_discord.server._names import name_key, name_problem, name_skeleton, title_problem
from onesocket_discord.server._password_rules import password_problem


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bill", "Bi11"),
        ("Ian", "lan"),
        ("coco", "сосо"),
        ("ANNA", "ΑΝΝΑ"),
        ("bob", "ВОВ"),
        ("tom", "torn"),
        ("a b", "a  b"),
        ("bob0", "ｂｏｂｏ"),
        ("bill", "bi\u06f1\u0661"),
        ("bob", "b\u07c0b"),
        ("bob", "b\u3007b"),
        ("bill", "bi\u01c0\u2223"),
        ("bill", "bi\u05c0\u2502"),
        ("gary", "\u0261\u0251ry"),
    ],
)
def test_these_look_alike(one: str, other: str) -> None:
    assert name_skeleton(one) == name_skeleton(other)
    assert name_key(one) != name_key(other)


@pytest.mark.parametrize(
    "name", ["ann", "Анна", "Łukasz", "naïve", "田中ann", "ア田ー", "한글 kim", "mod3", "ann😀", "ไทย"]
)
def test_these_are_good_names(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("аnn", "USERNAME_MIXED_SCRIPTS"),
        ("ann한あ", "USERNAME_MIXED_SCRIPTS"),
        ("ADMIN", "USERNAME_RESERVED"),
        ("a.d.m.1.n", "USERNAME_RESERVED"),
        ("M0D", "USERNAME_RESERVED"),
        ("Sуsтеm", "USERNAME_MIXED_SCRIPTS"),
        ("everyone", "USERNAME_RESERVED"),
        ("deleted_user 5", "USERNAME_RESERVED"),
        ("z" + "\u0301" * 9, "USERNAME_INVALID"),
        ("a\u3164b", "USERNAME_INVALID"),
        ("a\u200bb", "USERNAME_INVALID"),
        ("a\ufe0fb", "USERNAME_INVALID"),
        ("a\ufffcb", "USERNAME_INVALID"),
        ("a\U0001d159b", "USERNAME_INVALID"),
        ("officia\u01c0", "USERNAME_RESERVED"),
        ("r\u07c0\u07c0t", "USERNAME_RESERVED"),
    ],
)
def test_these_are_refused_names(name: str, code: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert problem[0] == code


@pytest.mark.parametrize("title", ["general", "a b", "👩\u200d🚀", "❤️", "한글", "#1", "שלום\u200f!", "x"])
def test_these_are_good_titles(title: str) -> None:
    assert title_problem(title) is None


@pytest.mark.parametrize(
    ("title", "code"),
    [
        ("", "NAME_BLANK"),
        (" \u2003", "NAME_BLANK"),
        ("\u200b\u200d\u2060", "NAME_BLANK"),
        ("\u3164\u2800", "NAME_BLANK"),
        ("\ufe0f", "NAME_BLANK"),
        ("\u0301", "NAME_BLANK"),
        ("\U000e0041", "NAME_BLANK"),
        ("a\nb", "NAME_INVALID"),
        ("a\x1b[2Jb", "NAME_INVALID"),
        ("a\u2028b", "NAME_INVALID"),
        ("a\u202eb", "NAME_INVALID"),
    ],
)
def test_these_are_refused_titles(title: str, code: str) -> None:
    problem = title_problem(title)
    assert problem is not None
    assert problem[0] == code


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "P@ssw0rd",
        "Password2026!",
        "12345678",
        "87654321",
        "qwertyuiop",
        "Qwerty123!",
        "1q2w3e4r",
        "zxcvbnm1",
        "aaaaaaaa",
        "abcabcabc",
        "iloveyou2",
        "2026monkey",
        "letmeinletmein",
        "trustno1",
        "Summer2026!",
        "abcd1234",
        "1qaz2wsx",
        "onesocket1",
        "ann-ann-ann",
        "xxxxxxxxxxxxxxxxxx",
    ],
)
def test_these_are_guessed_first(password: str) -> None:
    problem = password_problem(password, "bo")
    if password == "ann-ann-ann":
        problem = problem or password_problem(password, "ann-ann")
    assert problem is not None


def test_a_password_is_not_the_name() -> None:
    assert password_problem("MaximilianX1", "maximilian") is not None
    assert password_problem("MaximilianX1", "ann") is None


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "battery staple",
        "a long password",
        "tr0ub4dor&3",
        "dragonfly meadow",
        "7fK-22!x",
        "пароль мой собственный",
    ],
)
def test_these_are_good_passwords(password: str) -> None:
    assert password_problem(password, "ann") is None
