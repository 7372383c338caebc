"""Records of sessions on Redis, by which another server can resume them.

A dispatch that came by the stream is not recorded: a session's number of it follows from a checkpoint (how far the
session was at one place of the stream) and the entries since. Dispatches that one session alone is sent (READY, chunks
of members) are recorded with their numbers, before they are sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onesocket.sharing.cluster._redis_client import RedisClient

from ..._serving import EncodedDispatch
from ...protocol._limits import LARGE_THRESHOLD
from .._cluster_entry import EntryOfMove, encode_entry
from ..gateway._session import GatewaySession
from . import _redis_scripts as scripts
from ._event_stream import STREAM_LENGTH, ClusterKeys, StreamId

_AFTER_TTL: Final = 60
"""Seconds for which a record outlives its session: it is written again every few seconds."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The number of a session's last dispatch, at one place of the stream."""

    seq: int
    at: StreamId


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session, as another server begins to rebuild it."""

    user_id: int
    intents: int
    shard: tuple[int, int]
    older: Checkpoint
    newer: Checkpoint
    own: Mapping[int, EncodedDispatch]
    """The recorded dispatches, by number."""
    large_threshold: int = LARGE_THRESHOLD[0]
    """An earlier release records none."""

    def checkpoint_for(self, seq: int) -> Checkpoint:
        """The newest checkpoint from which all dispatches after `seq` can be rebuilt."""
        return self.newer if self.newer.seq <= seq else self.older


class SessionRecords:
    """The records of all sessions of a cluster; one server at a time has a session, and only that one writes of it."""

    def __init__(self, client: RedisClient, keys: ClusterKeys, node: str, session_ttl: float) -> None:
        self._client = client
        self._keys = keys
        self._node = node
        self._ttl = int(session_ttl) + _AFTER_TTL

    async def begin(self, session: GatewaySession, at: StreamId, own: Sequence[EncodedDispatch]) -> None:
        """Record a new session, whose numbers begin at this place of the stream with the dispatches of its own."""
        number, count = session.shard
        fields: list[str | int] = ["node", self._node, "user", session.account.user_id, "intents", session.intents]
        fields += ["shard", f"{number}/{count}", "large", session.large_threshold]
        fields += ["old_seq", 0, "old_id", str(at), "seq", 0, "id", str(at)]
        members = _members(enumerate(own, 1))
        await self._client.run_script(scripts.BEGIN, self._keys.session(session.id), self._ttl, *fields, "", *members)

    async def append(self, session_id: str, first: int, own: Sequence[EncodedDispatch]) -> bool:
        """Record dispatches with the numbers from `first` on; returns False if another server has the session."""
        members = _members(enumerate(own, first))
        keys = self._keys.session(session_id)
        return bool(await self._client.run_script(scripts.APPEND, keys, self._node, self._ttl, *members))

    async def claim(self, session_id: str, user_id: int) -> SessionRecord | None:
        """Take a session of this user; the server that had it reads so in the stream. None: there is none."""
        keys = [*self._keys.session(session_id), self._keys.stream, self._keys.state]
        entry = encode_entry(EntryOfMove(session_id, self._node))
        reply = await self._client.run_script(scripts.CLAIM, keys, self._node, user_id, STREAM_LENGTH, entry)
        if not reply:
            return None
        flat, members = reply
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        number, _, count = fields[b"shard"].partition(b"/")
        return SessionRecord(
            user_id=user_id,
            intents=int(fields[b"intents"]),
            shard=(int(number), int(count)),
            older=Checkpoint(int(fields[b"old_seq"]), StreamId.parse(fields[b"old_id"])),
            newer=Checkpoint(int(fields[b"seq"]), StreamId.parse(fields[b"id"])),
            own=dict(map(_own_dispatch, members)),
            large_threshold=int(fields.get(b"large", LARGE_THRESHOLD[0])),
        )

    async def save(self, checkpoints: Mapping[str, tuple[Checkpoint, Checkpoint]]) -> None:
        """Write the checkpoints of sessions, the older and the newer one, and keep their records alive."""
        keys = [key for session_id in checkpoints for key in self._keys.session(session_id)]
        places = [part for pair in checkpoints.values() for point in pair for part in (str(point.seq), str(point.at))]
        if keys:
            await self._client.run_script(scripts.CHECKPOINT, keys, self._node, self._ttl, *places)

    async def end(self, session_id: str) -> None:
        """Remove the record, unless another server has the session."""
        await self._client.run_script(scripts.END, self._keys.session(session_id), self._node)


def _members(numbered: Iterable[tuple[int, EncodedDispatch]]) -> list[bytes]:
    return [b"%d:%b" % (seq, dispatch.pattern) for seq, dispatch in numbered]


def _own_dispatch(member: bytes) -> tuple[int, EncodedDispatch]:
    seq, _, pattern = member.partition(b":")
    return int(seq), EncodedDispatch.from_pattern(pattern)
