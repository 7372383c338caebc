"""A PostgreSQL server of Debian's packages for tests, in a directory of its own, without TCP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# Tests kill servers of ours, not PostgreSQL nor the machine, so nothing needs to reach the disk.
_CONFIGURATION = """
listen_addresses = ''
unix_socket_directories = '{directory}'
max_connections = 300
fsync = off
full_page_writes = off
synchronous_commit = off
log_min_messages = log
"""
_USER = "tester"
_INITDB = ("-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")


_DELETE_ALL = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;  -- without looking at foreign keys
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$
"""


def find_programs() -> Path:
    """The folder of PostgreSQL's programs; fails the test without them."""
    for place in (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), *map(Path, os.get_exec_path())):
        if (place / "initdb").exists():
            return place
    pytest.fail("there is no PostgreSQL here: make postgresql")


class PostgresqlServer:
    """A running server; each test has a database of its own."""

    def __init__(self, programs: Path, directory: Path) -> None:
        self._programs = programs
        self._directory = directory
        self._reused: str | None = None

    def url(self, database: str, *, user: str = _USER) -> str:
        """The URL of a database, through the server's socket."""
        return f"postgresql+asyncpg://{user}@/{database}?host={self._directory}"

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser, each in a transaction of its own; returns what they print."""
        command = [str(self._programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        where = ["-h", str(self._directory), "-U", _USER, "-d", database]
        each = [argument for statement in statements for argument in ("-c", statement)]
        whole = [*command, *where, *each]
        return subprocess.run(whole, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own command

    def trust(self, *lines: str) -> None:
        """Put lines in front of pg_hba.conf: who needs a password."""
        file = self._directory / "data" / "pg_hba.conf"
        file.write_text("\n".join((*lines, file.read_text())))
        self.sql("SELECT pg_reload_conf()")

    def end_connections(self, database: str) -> None:
        """End every connection to a database, as an administrator can."""
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        self.sql(f"{ended} AND pid <> pg_backend_pid()", database=database)

    def emptied_place(self) -> str:
        """The URL of a database that one test after another uses, without rows: to make one costs 0.2 s."""
        if self._reused is None:
            self._reused = f"reused_{uuid.uuid4().hex[:12]}"
            self.sql(f"CREATE DATABASE {self._reused} STRATEGY file_copy")
        else:
            self.sql(_DELETE_ALL, database=self._reused)
        return self.url(self._reused)

    @contextmanager
    def place(self) -> Iterator[str]:
        """Make a database; yields its URL."""
        with self.database() as name:
            yield self.url(name)

    @contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """Make a database; yields its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name} {options} STRATEGY file_copy")
        try:
            yield name
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_postgresql() -> Iterator[PostgresqlServer]:
    """Start a server, as a user without privileges if this is root, and stop it. It ends with this process, too."""
    programs = find_programs()
    base = Path(tempfile.mkdtemp(prefix="onesocket-pg-"))  # short: it holds a Unix socket
    as_user = ["setpriv", "--pdeathsig", "QUIT"]
    if os.getuid() == 0:
        shutil.chown(base, "nobody", "nogroup")
        as_user += ["--reuid", "nobody", "--regid", "nogroup", "--clear-groups"]
    data = base / "data"
    try:
        command = [*as_user, str(programs / "initdb"), "-D", str(data), *_INITDB]
        subprocess.run(command, check=True, capture_output=True, cwd="/")  # noqa: S603 - our own command
        with (data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(directory=base))
        command = [*as_user, str(programs / "postgres"), "-D", str(data)]
        server = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/"
        )
        try:
            reader = _read_log(server)
            yield PostgresqlServer(programs, base)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once
            server.wait()
        reader.join()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _read_log(server: subprocess.Popen[str]) -> threading.Thread:
    """Wait until the server accepts connections; returns a thread that reads on, so that the pipe is never full."""
    pipe = server.stderr
    assert pipe is not None
    log: list[str] = []
    for line in pipe:
        log.append(line)
        if "ready to accept connections" in line:
            break
    else:
        raise RuntimeError("PostgreSQL doesn't start: " + "".join(log))

    def read() -> None:
        with pipe:
            for _ in pipe:
                pass

    reader = threading.Thread(target=read, daemon=True, name="postgresql-log")
    reader.start()
    return reader
