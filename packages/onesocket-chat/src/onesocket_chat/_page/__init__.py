"""The chat's page for browsers: ES modules that `onesocket serve` serves as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).with_name("web")


def page_files() -> dict[str, bytes]:
    """The page's files by their paths in its address, such as ``index.html`` and ``assets/main.js``."""
    return {
        path.relative_to(_DIRECTORY).as_posix(): path.read_bytes() for path in _DIRECTORY.rglob("*") if path.is_file()
    }
