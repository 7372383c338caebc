"""Files that their owner alone can read, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory that its owner alone can enter, and those above it that are missing. Raises OSError."""
    if not path.parent.exists():
        make_directory(path.parent)
    path.mkdir(exist_ok=True, mode=0o700)


def write(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace the file: it never exists with other rights, nor half. Raises OSError.

    With `sync` it is there after a power failure too; without, after the end of this process.
    """
    make_directory(path.parent)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
