"""Passwords that anybody would guess first.

A list of the words that lead every published list of leaked passwords, and what people do to them: digits and signs at
the ends, capitals, letters written as digits, repetitions, rows of the keyboard. It is of this project's own making, as
a list of whole passwords would have to be far longer to hold the same.
"""

from __future__ import annotations

import re
from typing import Final

MIN_PASSWORD_LENGTH: Final = 8
MAX_PASSWORD_LENGTH: Final = 256
_MIN_OWN_PART: Final = 4
"""Characters that have to be left beside a common word."""
_MIN_ROW: Final = 6
"""Letters of a row of the keyboard that make a password a common one, whatever digits and signs are beside them."""

_WORD_LIST: Final = """
aaron abc access admin administrator adobe alexander amanda america andrea andrew angel angels anthony arsenal
ashley asshole austin baby babygirl babylon bailey banana barcelona baseball basketball batman beautiful
benjamin bigdaddy blahblah blink bonjour brandon bubbles buster butterfly cameron caroline carolina celtic
changeit changeme charlie chatserver cheese chelsea chester chicken chocolate christian christopher cocacola
computer cookie corvette courtney cowboys creative crystal daniel danielle darkness default destiny diamond
dolphin donald dragon eagles elephant elizabeth eminem estrella fernando ferrari fishing flower football forever
formula france freedom friends fuckme fuckoff fuckyou gabriel garfield george ginger girls godzilla goodluck
google guest guitar hallo hannah happy harley harrypotter heather hello hellokitty hockey hottie hunter iloveme
iloveu iloveyou internet isabella jackson jasmine jasper jennifer jessica jesus jonathan jordan joseph joshua
justin killer king kitty knight lakers lauren letmein liverpool login london love lovely loveme loveyou lovers
lucky maggie manchester marina marlboro martin master matrix matthew maverick melissa mercedes metallica michael
michelle midnight minecraft monkey monster mother mustang naruto natasha newyork nicholas nicole nirvana
nopassword nothing october oliver onesocket orange packers pass passcode passion passw password passwort patrick
peanut pepper pepsi phoenix playboy player pokemon porsche princess private prince purple qazwsx rainbow ranger
realmadrid rebecca richard robert rockstar root rosebud samantha samsung sandra scooter scorpion sebastian
secret secure security server shadow shopping silver skywalker slipknot snoopy soccer softball sophie spiderman
starwars stephanie steelers summer sunflower sunshine superman superstar sweet sweetheart swordfish system
taylor teddybear temp temporary test tester testing thomas thunder tiger tigger tinkerbell titanic trustno
twilight tweety user vanessa veronica victoria vincent volleyball warrior welcome whatever whatsup william
willow winter wizard yamaha yankees yellow
"""
_WORDS: Final = frozenset(_WORD_LIST.split())
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "!@#$%^&*()",
)
_BOTH_WAYS: Final = (*_ROWS, *(row[::-1] for row in _ROWS))
_LETTERS_FOR: Final = str.maketrans("@430157$!", "aaeoistsi")
_SIGNS: Final = re.compile(r"[\W\d_]+")


def password_problem(password: str, *names: str) -> tuple[str, str] | None:
    """The code and text of the rule that a new password breaks; None for a good one.

    `names`: of the account, which is not a password of its own. The length is checked elsewhere.
    """
    plain = password.casefold().strip()
    letters = _SIGNS.sub("", plain)
    is_row = _is_row(plain) or (len(letters) >= _MIN_ROW and _is_row(letters))
    if is_row or _is_repeated(plain) or _has_little_beside(plain, _WORDS):
        return "PASSWORD_TOO_COMMON", "This password is one of those that are guessed first. Choose another one."
    if _has_little_beside(plain, {name.casefold() for name in names} - {""}):
        return "PASSWORD_IS_NAME", "The password is little more than the name. Choose another one."
    return None


def _is_repeated(plain: str) -> bool:
    """Return True for a short piece again and again: ``aaaaaaaa``, ``abcabcabc``."""
    return any(all(one == plain[at % size] for at, one in enumerate(plain)) for size in range(1, _MIN_OWN_PART + 1))


def _is_row(plain: str) -> bool:
    """Return True for runs along the keyboard or the alphabet: ``12345678``, ``qwer1234``, ``87654321``."""
    runs, at = 0, 0
    while at < len(plain):
        length = max((_run(plain, at, row) for row in _BOTH_WAYS), default=0)
        if length < 3:
            return False
        at += length
        runs += 1
    return runs <= 3


def _run(plain: str, at: int, row: str) -> int:
    """The length of the run of `row` that begins at this place of the password."""
    start, length = row.find(plain[at]), 0
    while start >= 0 and start + length < len(row) and at + length < len(plain):
        if row[start + length] != plain[at + length]:
            break
        length += 1
    return length


def _has_little_beside(plain: str, words: frozenset[str] | set[str]) -> bool:
    """Return True for one of the words, once or twice, with digits, signs or a few letters at its ends."""
    for read in {plain, plain.translate(_LETTERS_FOR)}:
        core = _SIGNS.sub("", read)
        half = core[: len(core) // 2]
        if core in words or (half * 2 == core and half in words):
            return True
        for word in words:
            if read.startswith(word) or read.endswith(word):
                rest = read.removeprefix(word) if read.startswith(word) else read.removesuffix(word)
                if len(rest) < _MIN_OWN_PART or not _SIGNS.sub("", rest):
                    return True
    return False
