"""The token that is saved for the next run, in a file that its owner alone can read."""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from onesocket.errors import UsageError

from . import _private_file as private_file


class UnsafeCredentials(UsageError):
    """Other users can read or write the file with the token, or own it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The account and token of a sign-in."""

    api_url: str
    user: str
    token: str = field(repr=False)


def state_directory() -> Path:
    """Directory for the chat's files that outlive a run: below ``$XDG_STATE_HOME``, or ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base else Path.home() / ".local" / "state") / "onesocket"


def default_path() -> Path:
    """Default path of the file that keeps the token."""
    return state_directory() / "chat.json"


def save(credentials: Credentials, path: Path) -> None:
    """Replace the file atomically, with mode 0600 from the start. Raises OSError."""
    private_file.write(path, msgspec.json.encode(credentials))


def load(path: Path) -> Credentials | None:
    """Load the saved sign-in; None without one. Raises `UnsafeCredentials`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnsafeCredentials(f"{path} can't be read: {error.strerror}; remove it and sign in again") from error
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        mine = not hasattr(os, "getuid") or about.st_uid == os.getuid()
        if os.name == "posix" and (not mine or stat.S_IMODE(about.st_mode) & 0o077):
            raise UnsafeCredentials(f"others may have read the token in {path}: remove it and sign in again")
        data = file.read(65_536)
    try:
        return msgspec.json.decode(data, type=Credentials)
    except msgspec.DecodeError as error:
        raise UnsafeCredentials(f"{path} is broken; remove it and sign in again") from error


def forget(path: Path) -> None:
    """Remove the file with the token."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
