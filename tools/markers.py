"""Generated parts of documents, between the markers ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""

from __future__ import annotations

import re
from pathlib import Path


def markers(name: str) -> tuple[str, str]:
    """The markers around the part with this name."""
    return f"<!-- {name}:begin -->", f"<!-- {name}:end -->"


def replace_marked(text: str, name: str, content: str, *, required: bool = True) -> str:
    """`text` with `content` between the markers of `name`.

    Raises ValueError if a marker has no partner, or, where the part is `required`, unless it is there exactly once.
    """
    begin, end = markers(name)
    counts = text.count(begin), text.count(end)
    if required and counts != (1, 1):
        raise ValueError(f"the document needs {begin} and {end}, once each")
    if counts[0] != counts[1]:
        raise ValueError(f"a marker {begin} or {end} has no partner")
    part = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return part.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def write_marked(path: Path, name: str, content: str) -> None:
    """Replace the part `name` of a document."""
    path.write_text(replace_marked(path.read_text("utf-8"), name, content), "utf-8")
