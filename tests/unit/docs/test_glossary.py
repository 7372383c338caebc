"""The glossary has each term once, in order, and names places that exist."""

import pkgutil
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    if line.startswith("|")
][2:]


def exists(where: str) -> bool:
    """Return whether a dotted name can be resolved, or a path of the repository exists."""
    if re.match(r"onesocket(_chat|_discord)?(\.|$)", where) is None:
        return (ROOT / where).exists()
    try:
        pkgutil.resolve_name(where)
    except (AttributeError, ImportError):
        return False
    return True


def test_terms_are_unique_and_in_alphabetical_order() -> None:
    terms = [row[0] for row in ROWS]
    assert len(terms) > 60
    assert terms == sorted(set(terms), key=str.lower)


def test_each_term_has_one_or_two_sentences() -> None:
    for term, meaning, _ in ROWS:
        assert 1 <= len(re.findall(r"[.](?: |$)", meaning)) <= 2, term


def test_every_place_exists() -> None:
    assert [row for row in ROWS if not exists(row[2].strip("`"))] == []
