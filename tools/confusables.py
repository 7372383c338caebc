"""Writes the table of characters that look alike, by which the chat server compares names, from Unicode's own list.

`python -m tools.confusables confusables.txt`, with that file of https://www.unicode.org/Public/security/latest/ (UTS
39, Unicode Security Mechanisms). The table has what is left of the list once a text is in the form NFKD, and besides
it letters that Unicode's list doesn't join with those that they are made from: small capitals, letters in squares and
circles, and those with a hook or a stroke. The servers' databases hold what is derived from it, and derive it anew when
it has changed.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TABLE: Final = ROOT / "packages/onesocket-discord/src/onesocket_discord/server/_confusables.txt"
_ENTRY: Final = re.compile(r"([0-9A-F]+) ;\t([0-9A-F ]+?) ;\tMA")
_VERSION: Final = re.compile(r"# Version: (\S+)")
_SMALL_CAPITALS: Final = re.compile(r"LATIN (?:CAPITAL )?LETTER SMALL CAPITAL (?:BARRED )?([A-Z])(?: WITH .*)?")
_SHAPES: Final = re.compile(
    r"LATIN (?:CAPITAL|SMALL) LETTER ([A-Z]) WITH .*|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
    r"|.*(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN (?:CAPITAL|SMALL) LETTER ([A-Z])"
)
_MARKS: Final = re.compile("[\u0300-\u036f]")
"""Combining Diacritical Marks: what is left of a letter with one is that letter."""
_STROKES: Final = "\u23a2\u2502\u2758"
"""Signs that are one stroke, which Unicode's list doesn't join with the letter l; it does with others."""
_HEADER: Final = """\
# Characters that look alike, from Unicode's confusables.txt {version}, changed by tools/confusables.py; do not edit.
# Copyright (c) 1991-2026 Unicode, Inc. Distributed under the Unicode License v3: see the file LICENSE-UNICODE.
# In each line: what the characters behind the tab look like; code points, in hexadecimal.
"""


def read_list(text: str) -> dict[str, str]:
    """Read the entries of confusables.txt: each character, and what it looks like."""
    return {
        chr(int(source, 16)): "".join(chr(int(one, 16)) for one in shown.split())
        for source, shown in _ENTRY.findall(text)
    }


def letters_named(names: re.Pattern[str]) -> dict[str, str]:
    """The characters with these names in Python's Unicode database, and the letter in each name."""
    every = ((one, names.fullmatch(unicodedata.name(one, ""))) for one in map(chr, range(sys.maxunicode + 1)))
    return {one: next(filter(None, found.groups())).lower() for one, found in every if found is not None}


def all_entries(listed: dict[str, str]) -> dict[str, str]:
    """The entries of Unicode's list with those besides it; of them small capitals go before the list.

    Where it has a small capital look like a third letter (that of K like kra), this is the same letter, too.
    """
    capitals = letters_named(_SMALL_CAPITALS)
    like = {listed[one]: letter for one, letter in capitals.items() if one in listed}
    thirds = {one: letter for one, letter in like.items() if len(one) == 1 and not one.isascii()}
    every = {**letters_named(_SHAPES), **listed, **thirds, **capitals, **dict.fromkeys(_STROKES, "l")}
    return {source: shown for source, shown in every.items() if source != shown}


def reduced(entries: dict[str, str]) -> dict[str, str]:
    """The entries that a text in NFKD needs, each with what is left when they are applied to their own results."""
    found = {source: _final(source, entries) for source in entries if unicodedata.normalize("NFKD", source) == source}
    return {source: shown for source, shown in found.items() if shown != source}


def _final(source: str, entries: dict[str, str]) -> str:
    last, shown = source, entries[source]
    while shown not in {last, source}:
        last, shown = shown, unicodedata.normalize("NFKD", "".join(entries.get(one, one) for one in shown))
    return shown if unicodedata.combining(source) else _MARKS.sub("", shown) or shown


def table(text: str) -> str:
    """The whole table from the text of confusables.txt."""
    version = _VERSION.search(text)
    if version is None:
        raise SystemExit("this is no confusables.txt: it has no line with its version")
    by_target: defaultdict[str, list[str]] = defaultdict(list)
    for source, shown in reduced(all_entries(read_list(text))).items():
        by_target[shown].append(source)
    lines = (f"{_points(shown)}\t{_points(''.join(sorted(by_target[shown])))}\n" for shown in sorted(by_target))
    return _HEADER.format(version=version[1]) + "".join(lines)


def _points(text: str) -> str:
    return " ".join(f"{ord(one):X}" for one in text)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="Unicode's confusables.txt")
    TABLE.write_text(table(parser.parse_args().file.read_text("utf-8-sig")), "ascii")


if __name__ == "__main__":
    main()
