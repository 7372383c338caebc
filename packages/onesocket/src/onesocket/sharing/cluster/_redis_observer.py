"""Reads what the members of all clusters of one prefix have announced in Redis or Valkey."""

from __future__ import annotations

from typing import Any

from ...errors import EngineKeyTaken, EngineUnavailable, EngineUnusable, OnesocketError
from . import _redis_scripts as scripts
from ._cluster_view import AnnouncedMember, ClusterView, is_digest
from ._coordinator import ClusterKey
from ._redis_check import taken_key
from ._redis_client import RedisClient
from ._redis_coordinator import lease_of
from ._redis_records import WRONG_TYPE, RedisKeys, index_of, parse_note


class RedisObserver:
    """`ClusterObserver` on Redis: one command for the prefix, and one for each cluster."""

    def __init__(self, client: RedisClient, where: str, prefix: str) -> None:
        self._client = client
        self._where = where
        self._prefix = ClusterKey.of("0" * 64, prefix=prefix).prefix

    def __repr__(self) -> str:
        return f"<RedisObserver {self._where} {self._prefix}>"

    @property
    def commands(self) -> int:
        """As `ClusterObserver.commands`."""
        return self._client.commands

    async def look(self, beginning: str) -> list[ClusterView]:
        """As `ClusterObserver.look`."""
        index = index_of(self._prefix)
        try:
            found = await self._client.run_script(scripts.INDEX, [index])
        except EngineUnusable as error:
            if WRONG_TYPE not in str(error):
                raise
            text = f"{self._where}: the key {index} is not onesocket's: use another prefix, or delete it"
            raise EngineKeyTaken(text, key=index) from error
        names = sorted(each.decode(errors="replace") for each in found)
        views = [await self._view(name) for name in names if name.startswith(beginning)]
        return [view for view in views if not view.is_empty]

    async def _view(self, name: str) -> ClusterView:
        if not is_digest(name):
            error = EngineUnusable(f"the key {index_of(self._prefix)} has a field that onesocket did not write")
            return ClusterView(name, error=error)
        keys = RedisKeys(ClusterKey(self._prefix, name), "observer")
        try:
            return self._parsed(name, keys, await self._client.run_script(scripts.LOOK, [*_looked_at(keys)]))
        except EngineUnavailable:
            raise
        except OnesocketError as error:
            taken = await taken_key(self._client, keys.kinds(), self._where) if WRONG_TYPE in str(error) else None
            return ClusterView(name, error=taken or error)

    def _parsed(self, digest: str, keys: RedisKeys, reply: Any) -> ClusterView:
        now, lease, fields = reply
        info = lease_of(lease, self._where)
        members: list[AnnouncedMember] = []
        try:
            for member, value in zip(fields[::2], fields[1::2], strict=True):
                one = parse_note(member, value, int(now))
                if one is not None:
                    members.append(one)
        except ValueError:
            raise EngineUnusable(f"the key {keys.present} has a field that onesocket did not write") from None
        members.sort(key=lambda each: each.member)
        return ClusterView(digest, info if info.member else None, tuple(members))

    async def aclose(self) -> None:
        """As `ClusterObserver.aclose`."""
        await self._client.aclose()


def _looked_at(keys: RedisKeys) -> tuple[str, ...]:
    return keys.lease, keys.state, keys.present
