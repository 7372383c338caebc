"""The rules for names and passwords."""

import pytest

from onesocket_discord.server._names import is_blank, name_key, name_problem, title_problem
from onesocket_discord.server._password_rules import password_problem
from onesocket_discord.server._skeletons import name_skeleton, skeleton_version


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
        ("bob", "\ua4d0\ua4f3\ua4d0"),  # Lisu
        ("sage", "\u13da\u13aa\u13c0\u13ac"),  # Cherokee
        ("bob", "\u0299\u1d0f\u0299"),  # small capitals
        ("kim", "\u1d0b\u026a\u1d0d"),
        ("bob", "\uff42\uff4f\uff42\u0301"),  # fullwidth, with an accent
        ("maria", "mar\u00eda"),
        ("paul", "\u1e57\u00e4\u00fc\u013a"),
        ("lodz", "\u0142\u00f3d\u017a"),
        ("soren", "s\u00f8ren"),
        ("bob", "\U0001d4eb\U0001d4f8\U0001d4eb\u0301"),  # mathematical, with an accent
        ("bob", "\U0001f171\U0001f17e\U0001f171"),  # in squares
        ("bob", "\u0432\u043e\u0432"),  # small Cyrillic letters, which look like small capitals
        ("serge\u0438", "serge\u0439"),
        ("\u0441\u0435\u0440\u0433\u0435\u0438", "\u0441\u0435\u0440\u0433\u0435\u0439"),
        ("will", "vvill"),
        ("noel", "no\u0451l"),
        ("\u53e3", "\u30ed"),
        ("bob 7", "bob \u0e57"),
    ],
)
def test_these_look_alike(one: str, other: str) -> None:
    assert name_skeleton(one) == name_skeleton(other)
    assert name_key(one) != name_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann", "anna"),
        ("ian", "lan"),
        ("\u304c", "\u304b"),
        ("\u30d1\u30d1", "\u30cf\u30cf"),
        ("\u0432\u0438\u043a", "\u0432\u0438\u0442"),
        ("bob 7", "bob 8"),
    ],
)
def test_these_do_not(one: str, other: str) -> None:
    assert name_skeleton(one) != name_skeleton(other)


def test_the_version_of_skeletons_is_raised_when_they_change() -> None:
    samples = "Bill I1l|0O torn Ünïcödé сосо ΑΝΝΑ ʙᴏʙ ꓐꓳꓐ ᏚᎪᏀᎬ ｂｏｂ 𝓫𝓸𝓫 🅱🅾🅱 ıłøđ vv ٣ าก"
    now = "bill lllloo tom unicode coco anna bob bob sage bob bob bob ilod w 3 \u0e32\u0e01"
    assert (name_skeleton(samples), skeleton_version()) == (now, "2.ad591abd"), "raise _RULES, and put both here"


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
        ("\u0301\u0302", "USERNAME_INVALID"),
        ("\u0301ann", "USERNAME_INVALID"),
        ("\u0301 \u0301", "USERNAME_INVALID"),
        ("a\u3164b", "USERNAME_INVALID"),
        ("a\u200bb", "USERNAME_INVALID"),
        ("a\ufe0fb", "USERNAME_INVALID"),
        ("a\ufffcb", "USERNAME_INVALID"),
        ("a\U0001d159b", "USERNAME_INVALID"),
        ("officia\u01c0", "USERNAME_RESERVED"),
        ("r\u07c0\u07c0t", "USERNAME_RESERVED"),
        ("\u1d00\u1d05\u1d0d\u026a\u0274", "USERNAME_RESERVED"),
        ("\u00e1dm\u00edn", "USERNAME_RESERVED"),
        ("\U0001f170\U0001f173\U0001f17c\U0001f178\U0001f17d", "USERNAME_RESERVED"),
        ("\u029c\u1d0f\ua731\u1d1b", "USERNAME_RESERVED"),
    ],
)
def test_these_are_refused_names(name: str, code: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert problem[0] == code


@pytest.mark.parametrize(
    "title", ["general", "a b", "👩\u200d🚀", "❤️", "한글", "#1", "שלום\u200f!", "x", "\U0001fae8", "\U0001faea"]
)
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


@pytest.mark.parametrize("text", ["a", "_ _", "\u0301", "\ue000", "\U0001faff", "\u200b👍\ufe0f"])
def test_what_can_be_seen_is_not_blank(text: str) -> None:
    assert not is_blank(text)
    assert is_blank(f"\u200b\u2800{text[:0]}\n\U000e0100")
