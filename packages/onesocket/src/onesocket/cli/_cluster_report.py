"""Report of ``onesocket status --cluster``: the connections of a fleet, as their engine tells of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .._printable import printable
from ..errors import OnesocketError, UsageError
from ..sharing.cluster._announcements import Announcement, parse_announcement
from ..sharing.cluster._cluster_options import ClusterOptions
from ..sharing.cluster._cluster_view import AnnouncedMember, ClusterView
from ..sharing.host._listing import query_owner
from ..sharing.host._runtime_paths import RuntimePaths

FIELDS: Final = (
    *("digest", "url", "leader", "epoch", "lease_remaining", "state", "connection_epoch", "last_error", "hosts"),
    *("error", "commands"),
)
"""The fields of a connection, which docs/cluster.md describes."""
HOST_FIELDS: Final = (*("host", "pid", "member", "role", "lag_records", "lag_seconds", "heard", "remaining", "error"),)
"""Fields of a host of a connection."""
_COLUMNS: Final = ("HOST", "PROCESS", "ROLE", "LAG", "HEARD")
_BEGINNING: Final = re.compile(r"[0-9a-f]{4,64}")
_ASK_TIMEOUT: Final = 0.5


class ClusterReport:
    """Asks an engine about the connections of one prefix, any number of times."""

    def __init__(self, cluster: ClusterOptions, digest: str | None, directory: str | None) -> None:
        """`digest`: the beginning of that of the only connection to show. Raises `UsageError`."""
        if digest is not None and not _BEGINNING.fullmatch(digest):
            raise UsageError("--digest is at least the first 4 of the 64 hexadecimal digits that name a connection")
        self._cluster = cluster
        self._digest = digest
        self._directory = directory
        self._observer = cluster.engine.observe(cluster.prefix)
        self._urls: dict[str, str] = {}
        self._has_found = False
        """True once a connection was found: with `--watch`, one that is away may come back."""
        self.commands = 0
        """Requests to the engine for the last rows."""

    def __repr__(self) -> str:
        return f"<ClusterReport {self._cluster.engine}>"

    async def rows(self) -> list[dict[str, Any]]:
        """Return the connections, each with `FIELDS`. `commands`, of each: the requests to the engine for all of them.

        Raises the engine's errors, and `UsageError` if there never was one with the digest.
        """
        before = self._observer.commands
        views = await self._observer.look(self._digest or "")
        self.commands = self._observer.commands - before
        self._has_found |= bool(views)
        if self._digest is not None and not self._has_found:
            raise UsageError(self._nothing)
        urls = await asyncio.gather(*(self._url_of(each.digest) for each in views))
        rows = (row_of(each, url) for each, url in zip(views, urls, strict=True))
        return [{**row, "commands": self.commands} for row in rows]

    def text(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The rows for people."""
        blocks = [block_of(row) for row in rows] or [self._nothing]
        commands = f"{self.commands} command{'s' * (self.commands != 1)}"
        return "\n\n".join([*blocks, f"({commands} to {self._cluster.engine})"])

    def json(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """The rows for programs."""
        return json.dumps(rows)

    async def aclose(self) -> None:
        """Close the connections to the engine."""
        await self._observer.aclose()

    @property
    def _nothing(self) -> str:
        which = "" if self._digest is None else f" whose digest begins with {self._digest}"
        return f"at {self._cluster.engine}, under the prefix {self._cluster.prefix}, no host shares a connection{which}"

    async def _url_of(self, digest: str) -> str | None:
        """The redacted URL, if a process of this machine shares the connection."""
        if digest not in self._urls:
            try:
                paths = RuntimePaths.of(digest, self._directory)
            except OnesocketError:  # there is no place for them here
                return None
            if not paths.socket.exists():
                return None
            found = await asyncio.to_thread(query_owner, paths, _ASK_TIMEOUT)
            if found is None or not found.answers:
                return None
            self._urls[digest] = found.url
        return self._urls[digest]


def row_of(view: ClusterView, url: str | None) -> dict[str, Any]:
    """A connection with `FIELDS`, but for the number of commands."""
    told = {each.member: parse_announcement(each.note) for each in view.members}
    lease = view.lease
    leader = None if lease is None else told.get(lease.member)
    connection = None if leader is None else leader.connection
    hosts = [_host_row(each, told[each.member]) for each in view.members]
    hosts.sort(key=lambda host: (lease is None or host["member"] != lease.member, host["host"] or "", host["member"]))
    return {
        "digest": view.digest,
        "url": url,
        "leader": None if lease is None else lease.member,
        "epoch": None if lease is None else lease.epoch,
        "lease_remaining": None if lease is None else lease.remaining,
        "state": None if connection is None else connection.state,
        "connection_epoch": None if connection is None else connection.epoch,
        "last_error": None if connection is None else connection.error,
        "hosts": hosts,
        "error": None if view.error is None else f"{type(view.error).__name__}: {view.error}",
    }


def _host_row(member: AnnouncedMember, told: Announcement | None) -> dict[str, Any]:
    lag = member.lag
    lease = None if told is None else told.lease
    return {
        "host": None if told is None else told.host,
        "pid": None if told is None else told.pid,
        "member": member.member,
        "role": None if told is None else told.part,
        "lag_records": None if lag is None else lag.records,
        "lag_seconds": None if lag is None else lag.seconds,
        "heard": None if lease is None else max(0.0, lease - member.remaining),
        "remaining": member.remaining,
        "error": None if told is None else told.error,
    }


def block_of(row: Mapping[str, Any]) -> str:
    """The lines of one connection."""
    lines = [
        ("CONNECTION", row["url"] or "not known on this machine"),
        ("DIGEST", row["digest"]),
    ]
    if row["error"] is not None:
        lines.append(("ERROR", row["error"]))
    else:
        lines += [("STATE", _state(row)), ("LEADER", _leader(row))]
    if row["epoch"] is not None:
        lines += [("EPOCH", str(row["epoch"])), ("LEASE", f"ends in {row['lease_remaining']:.1f} s")]
    text = [f"{name:<10}  {printable(value)}" for name, value in lines]
    hosts = [_COLUMNS, *(_cells(each, row["leader"]) for each in row["hosts"])]
    widths = [max(map(len, column)) for column in zip(*hosts, strict=True)]
    if len(hosts) > 1:
        text += ["  ".join(map(str.ljust, each, widths)).rstrip() for each in hosts]
    return "\n".join(text)


def _state(row: Mapping[str, Any]) -> str:
    if row["leader"] is None:
        return "no host leads"
    if row["state"] is None:
        return "not known: the leader does not announce itself yet, or any more"
    because = "" if row["last_error"] is None else f" ({row['last_error']})"
    return f"{row['state']}{because}, connection {row['connection_epoch']}"


def _leader(row: Mapping[str, Any]) -> str:
    found = next((each for each in row["hosts"] if each["member"] == row["leader"] and each["host"] is not None), None)
    return row["leader"] or "–" if found is None else f"{found['host']}, process {found['pid']}"


def _cells(host: Mapping[str, Any], leader: str | None) -> tuple[str, ...]:
    heard = "?" if host["heard"] is None else f"{host['heard']:.1f} s ago"
    if host["host"] is None:
        return printable(host["member"]), "?", "of another release", "?", heard
    role = host["role"] if host["error"] is None else f"{host['role']}: {host['error']}"
    if host["role"] == "leader" and host["member"] != leader:
        role = "leader, until its lease ended"
    return printable(host["host"]), str(host["pid"]), printable(role), _lag(host), heard


def _lag(host: Mapping[str, Any]) -> str:
    records, seconds = host["lag_records"], host["lag_seconds"]
    if host["role"] != "follower":
        return "–"
    if records == 0:
        return "0 records"
    parts = [] if records is None else [f"{records} record{'s' * (records != 1)}"]
    parts += [] if seconds is None else [f"{seconds:.1f} s"]
    return ", ".join(parts) or "not known"
