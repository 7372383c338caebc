"""Reads what the members of all clusters of one prefix have announced in NATS."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...errors import EngineUnavailable, EngineUnusable, OnesocketError
from ._cluster_view import MOST_MEMBERS, AnnouncedMember, ClusterView, is_digest
from ._coordinator import START, ClusterKey, LeaseInfo
from ._nats_address import NatsAddress
from ._nats_client import NatsClient
from ._nats_errors import NO_STREAM, NatsRefused
from ._nats_records import NatsNames, parse_mark, parse_note
from ._nats_streams import check_server, check_stream, feed_stream


class NatsObserver:
    """`ClusterObserver` on NATS: one request for the prefix; two for each cluster, and one for each of its members."""

    def __init__(self, address: NatsAddress, prefix: str, timeout: float) -> None:
        self._where = str(address)
        self._prefix = ClusterKey.of("0" * 64, prefix=prefix).prefix
        self._client = NatsClient(address, "onesocket status", timeout)

    def __repr__(self) -> str:
        return f"<NatsObserver {self._where} {self._prefix}>"

    @property
    def commands(self) -> int:
        """As `ClusterObserver.commands`."""
        return self._client.requests

    async def look(self, beginning: str) -> list[ClusterView]:
        """As `ClusterObserver.look`; at most `MOST_MEMBERS` of each cluster."""
        check_server(await self._client.connect())
        try:
            names = [each.removeprefix(f"{self._prefix}-") for each in await self._streams()]
        except NatsRefused as refused:
            raise refused.error(self._where) from refused
        views = [await self._view(name) for name in sorted(names) if name.startswith(beginning)]
        return [view for view in views if not view.is_empty]

    async def _streams(self) -> list[str]:
        """The streams that take messages on the subject of a lease."""
        found: list[str] = []
        while True:
            body = {"subject": f"{self._prefix}.*.lease", "offset": len(found)}
            page = await self._client.ask("STREAM.NAMES", body)
            names: list[str] = page.get("streams") or []
            found += names
            if not names or len(found) >= int(page["total"]):
                return found

    async def _view(self, name: str) -> ClusterView:
        if not is_digest(name):
            text = f"{self._where}: the stream {name} takes messages of onesocket's subjects: use another prefix"
            return ClusterView(name, error=EngineUnusable(text))
        try:
            return await self._look_at(name)
        except EngineUnavailable:
            raise
        except NatsRefused as refused:
            if refused.code == NO_STREAM:  # deleted meanwhile
                return ClusterView(name)
            return ClusterView(name, error=refused.error(self._where))
        except OnesocketError as error:
            return ClusterView(name, error=error)

    async def _look_at(self, digest: str) -> ClusterView:
        names, client = NatsNames(ClusterKey(self._prefix, digest), "observer"), self._client
        info = await client.ask(f"STREAM.INFO.{names.stream}", {"subjects_filter": names.every_member})
        check_stream(info["config"], feed_stream(names, 0, 1), self._where)
        now = datetime.fromisoformat(info["ts"])
        stored = await client.newest(names.stream, names.lease)
        mark = None if stored is None else parse_mark(stored)
        lease = None
        if mark is not None and mark.member:
            left = mark.ttl - (now - mark.time).total_seconds()
            if left > 0:  # the server removes its message late
                lease = LeaseInfo(mark.member, mark.epoch, left, START)
        return ClusterView(digest, lease, await self._members(names, info, now))

    async def _members(self, names: NatsNames, info: dict[str, Any], now: datetime) -> tuple[AnnouncedMember, ...]:
        found: list[AnnouncedMember] = []
        for subject in sorted(info["state"].get("subjects") or {})[:MOST_MEMBERS]:
            stored = await self._client.newest(names.stream, subject)
            one = None if stored is None else parse_note(stored, now)
            if one is not None:
                found.append(one)
        return tuple(found)

    async def aclose(self) -> None:
        """As `ClusterObserver.aclose`."""
        await self._client.aclose()
