"""The stream that the servers of a cluster share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, NamedTuple

from onesocket.errors import EngineKeyTaken
from onesocket.sharing.cluster._redis_client import RedisClient

from . import _redis_scripts as scripts

STREAM_LENGTH: Final = 32_768
"""Entries kept, about: those that a session can be resumed over, and that a server may lag behind."""
_PAGE: Final = 500


class StreamId(NamedTuple):
    """The place of an entry: when the stream was begun (ms since 1970), and a number that counts without a hole."""

    base: int
    number: int

    @classmethod
    def parse(cls, text: bytes) -> StreamId:
        """Read an id of Redis."""
        base, _, number = text.partition(b"-")
        return cls(int(base), int(number))

    def __str__(self) -> str:
        return f"{self.base}-{self.number}"

    def is_before(self, later: StreamId) -> bool:
        """True if there is nothing between this entry and `later`."""
        return later == (self.base, self.number + 1)


class MissedEntries(Exception):
    """Entries are not in the stream any more, or the stream was begun anew."""


class ClusterKeys:
    """Names of the keys of one cluster; `prefix` ends with a colon."""

    def __init__(self, prefix: str) -> None:
        self.stream = f"{prefix}stream"
        self.state = f"{prefix}state"
        self.relayed = f"{prefix}relayed"
        self.nodes = f"{prefix}nodes"
        self.probe = f"{prefix}probe"
        self._prefix = prefix

    def kinds(self) -> dict[str, str]:
        """Redis's types of the keys that all servers share."""
        return {self.stream: "stream", self.state: "hash", self.relayed: "zset", self.nodes: "set"}

    def alive(self, node: str) -> str:
        """There while a server is there."""
        return f"{self._prefix}alive:{node}"

    def presences(self, node: str) -> str:
        """The presences by the sessions on a server, by user."""
        return f"{self._prefix}presences:{node}"

    def session(self, session_id: str) -> list[str]:
        """A session's record, and the dispatches that it alone was sent."""
        return [f"{self._prefix}session:{session_id}", f"{self._prefix}own:{session_id}"]

    def identifies(self, user_id: int, bucket: int) -> list[str]:
        """The count of a bot's Identifies, and the last one of a bucket."""
        return [f"{self._prefix}identifies:{user_id}", f"{self._prefix}identified:{user_id}:{bucket}"]


class EventStream:
    """Appends entries, and reads them."""

    def __init__(self, client: RedisClient, keys: ClusterKeys) -> None:
        self._client = client
        self._keys = keys
        self._base = 0
        """Of the position that was read last."""
        self._foreign: EngineKeyTaken | None = None

    async def position(self) -> StreamId:
        """The id of the last entry."""
        last, foreign = await self._client.run_script(scripts.POSITION, [self._keys.stream, self._keys.state])
        position = StreamId.parse(last)
        if foreign != b"-" and position.base != self._base > 0:
            shown = f" at {foreign.decode()}" if foreign else ""
            self._foreign = EngineKeyTaken(
                f"another program has written an entry{shown} into the cluster's stream {self._keys.stream}, which was "
                "begun anew, as no event would be delivered behind it: find that program, or give the chat another "
                "database of the engine",
                key=self._keys.stream,
            )
        self._base = position.base
        return position

    def check_foreign(self) -> None:
        """Raise `EngineKeyTaken`, once, if the stream was begun anew for an entry of another program."""
        foreign, self._foreign = self._foreign, None
        if foreign is not None:
            raise foreign

    async def add(self, entries: Sequence[tuple[int | None, bytes]]) -> None:
        """Append entries. One with a number that was appended before is left out."""
        keys = [self._keys.stream, self._keys.state, self._keys.relayed]
        pairs = [part for number, body in entries for part in ("" if number is None else number, body)]
        await self._client.run_script(scripts.ADD, keys, STREAM_LENGTH, *pairs)

    async def follow(self, after: StreamId, wait: float) -> list[tuple[StreamId, bytes]]:
        """Return the entries after this one, at the latest after `wait` seconds. Raises `MissedEntries`."""
        block = ("BLOCK", round(wait * 1000)) if wait else ()
        reply = await self._client.run(
            "XREAD", "COUNT", _PAGE, *block, "STREAMS", self._keys.stream, str(after), wait=wait
        )
        entries = [(StreamId.parse(each[0]), each[1][1]) for each in reply[0][1]] if reply else []
        if not entries:
            # Begun anew it counts from 1, under a later time; what was before the first entry can't be known.
            base = (await self.position()).base
            if base != after.base:
                raise MissedEntries
        elif not after.is_before(entries[0][0]):
            raise MissedEntries
        return entries

    async def between(self, after: StreamId, to: StreamId) -> AsyncGenerator[list[bytes], None]:
        """Yield the bodies of the entries after one and up to another. Raises `MissedEntries`."""
        if after.base != to.base:
            raise MissedEntries
        while after.number < to.number:
            reply: list[Any] = await self._client.run("XRANGE", self._keys.stream, f"({after}", str(to), "COUNT", _PAGE)
            ids = [StreamId.parse(entry_id) for entry_id, _ in reply]
            if not ids or not after.is_before(ids[0]):
                raise MissedEntries
            yield [fields.get(b"b", b"") for _, fields in reply]
            after = ids[-1]
