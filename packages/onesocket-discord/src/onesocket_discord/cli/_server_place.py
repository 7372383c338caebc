"""Where a chat server keeps its data, and where commands beside it find its control file."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from onesocket.cli._usage import EXIT_FAILED, fail
from onesocket.errors import InvalidOption


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """The place of one server's data."""

    database: str | Path
    """A file, or the URL of a database on PostgreSQL."""
    name: str
    """The database for messages, without a password."""
    control_file: Path
    options: str
    """The options that name this place to another command, with a space in front; empty for the default."""

    @classmethod
    def find(cls, data: Path | None, database: str | None) -> ServerPlace:
        """The place that these options name. Raises `InvalidOption` and `MissingExtra`."""
        if database is None:
            return cls._of_file(_file(data), "" if data is None else f" --data {shlex.quote(str(data))}")
        from ..server.store._database_url import read_database_url

        url = read_database_url(database)
        shown = url.render_as_string(hide_password=True)
        options = f" --database {shlex.quote(shown)}"
        if url.get_backend_name() == "sqlite":
            if data is not None:
                raise InvalidOption("--data and --database both name the SQLite file; give one of them")
            return cls._of_file(Path(url.database or ""), options)
        directory = _data_directory() if data is None else data
        if directory.suffix and not directory.is_dir():
            raise InvalidOption("with a database on PostgreSQL, --data names a directory, for the control file")
        # Servers of several databases can use one directory.
        where = f"{url.host}:{url.port} {sorted(url.query.items())} {url.database}"
        digest = hashlib.sha256(where.encode()).hexdigest()[:8]
        control_file = directory / f"{url.database}-{digest}.control.json"
        return cls(
            database, shown, control_file, options + ("" if data is None else f" --data {shlex.quote(str(data))}")
        )

    @classmethod
    def _of_file(cls, file: Path, options: str) -> ServerPlace:
        return cls(file, str(file), file.with_name(f"{file.name}.control.json"), options)

    @property
    def file(self) -> Path | None:
        """The SQLite file; None for a database on PostgreSQL."""
        return self.database if isinstance(self.database, Path) else None

    def make_directory(self) -> None:
        """Make the directory of the file and the control file, for its owner alone."""
        directory = self.control_file.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            text = f"can't make the directory {directory}: {error.strerror}; choose another place with --data"
            fail(text, EXIT_FAILED)


def _file(data: Path | None) -> Path:
    if data is None:
        data = _data_directory()
    return data / "chat.db" if data.is_dir() or not data.suffix else data


def _data_directory() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "onesocket"
    chosen = os.environ.get("XDG_DATA_HOME", "")
    return (Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".local" / "share") / "onesocket"
