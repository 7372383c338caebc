"""Coordination of a cluster by Redis 7 or Valkey: its lease is a key, its feed and mailboxes are streams."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from ...client._options import check_seconds
from ...errors import EngineUnusable, Fenced, MailboxFull, MissingExtra
from . import _redis_scripts as scripts
from ._boot_time import boot_time
from ._coordinator import (
    FORMAT,
    START,
    ClusterKey,
    Lag,
    Lease,
    LeaseInfo,
    Position,
    PreviousEpoch,
    Record,
    RecordKind,
    Submission,
    check_member_name,
)
from ._engine_errors import check_size, fenced, foreign_key, other_format
from ._feed_gaps import with_gaps
from ._feed_retention import FeedRetention, Retention
from ._redis_address import RedisAddress
from ._redis_records import (
    WRONG_TYPE,
    RedisKeys,
    parse_lag,
    parse_streams,
    record_of,
    slot_of,
    stream_id,
    submission_of,
)

if TYPE_CHECKING:
    from ._redis_client import RedisClient
    from ._redis_observer import RedisObserver

MAX_PAYLOAD: Final = 16 * 2**20
"""Bytes; Redis takes 512 MiB, but serves no other command meanwhile."""
_STATE_SECONDS: Final = 30 * 86_400
"""For which epoch and numbers of a key are kept that no member uses."""
_ANSWER_SECONDS: Final = 600
_MOST_ANSWERS: Final = 1000
_MOST_MAILS: Final = 1000
_MOST_RECORDS: Final = 100
"""Of one reply."""


class RedisCoordinator:
    """`ClusterEngine` for Redis 7, Valkey, or what speaks their protocol with streams and Lua scripts.

    `url`: ``redis://[user:password@]host[:port][/database]``, with TLS ``rediss://`` (options ``?ca=``, ``cert=`` and
    ``key=``: PEM files), ``unix:///path``, or ``redis+sentinel://host1,host2/service[/database]``.
    `timeout`: seconds for each command. `retention`: what is kept for members that lag.

    Needs ``onesocket[redis]`` (`MissingExtra`); raises `InvalidURL` and `InvalidOption`.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, retention: Retention | None = None) -> None:
        check_seconds("timeout", timeout)
        self._address = RedisAddress.of(url)
        self._timeout = timeout
        self._retention = retention if retention is not None else Retention()
        _client_class()

    def __repr__(self) -> str:
        return f"<RedisCoordinator {self}>"

    def __str__(self) -> str:
        return str(self._address)

    def __eq__(self, other: object) -> bool:
        """True for an engine that was made in the same way: each component of a program may make its own."""
        return isinstance(other, RedisCoordinator) and self._made_of == other._made_of

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def place(self) -> str:
        """Address and database, without secrets: engines with another one have other keys."""
        return f"{self._address} {self._address.database}"

    @property
    def _made_of(self) -> tuple[object, ...]:
        return self._address, self._timeout, self._retention

    def open(self, key: ClusterKey, member: str) -> RedisKeyCoordinator:
        """As `ClusterEngine.open`."""
        client = _client_class()(self._address, key.prefix, self._timeout)
        return RedisKeyCoordinator(client, str(self._address), key, check_member_name(member), self._retention)

    def observe(self, prefix: str) -> RedisObserver:
        """As `ClusterEngine.observe`."""
        from ._redis_observer import RedisObserver  # noqa: PLC0415 - for `onesocket status` alone

        return RedisObserver(_client_class()(self._address, prefix, self._timeout), str(self._address), prefix)


class RedisKeyCoordinator:
    """`Coordinator` of one key, on Redis."""

    max_payload = MAX_PAYLOAD

    def __init__(self, client: RedisClient, where: str, key: ClusterKey, member: str, retention: Retention) -> None:
        self.member = member
        self._client = client
        self._where = where
        self._prefix = key.prefix
        self._digest = key.digest
        self._keys = RedisKeys(key, member)
        self._bounds = retention
        self._retention = FeedRetention(retention, 0, 0.0)
        self._accepted = START
        self._trimmed = START

    def __repr__(self) -> str:
        return f"<RedisKeyCoordinator {self.member} at {self._where} accepted={tuple(self._accepted)}>"

    async def check(self) -> None:
        """As `Coordinator.check`."""
        from ._redis_check import check  # noqa: PLC0415 - needed once

        await check(self._client, self._keys, self._where, self._prefix)
        await self._state()  # ... which is of this format

    async def acquire(self, ttl: float, after: int) -> Lease | LeaseInfo:
        """As `Coordinator.acquire`."""
        keys = self._keys
        reply = await self._script(
            scripts.ACQUIRE,
            [keys.lease, keys.state, keys.feed, keys.mailbox, keys.members],
            *(self.member, _milliseconds(ttl), after, FORMAT, _STATE_SECONDS),
            *(self._bounds.records, self._feed_seconds(ttl)),
        )
        match reply:
            case [b"granted", epoch, previous]:
                lease = Lease(int(epoch), PreviousEpoch(previous.decode()))
                self._retention = FeedRetention(self._bounds, lease.epoch, boot_time())
                return lease
            case [b"held", member, held, left, epoch, number]:
                return LeaseInfo(member.decode(), int(held), max(0, left) / 1000, Position(int(epoch), int(number)))
            case [b"foreign", key]:
                raise foreign_key(self._where, key.decode())
            case _:
                raise other_format(self._where, reply[1].decode())

    async def renew(self, epoch: int, ttl: float) -> bool:
        """As `Coordinator.renew`."""
        keys = self._keys
        reply = await self._script(
            scripts.RENEW,
            [keys.lease, keys.state, keys.feed],
            *(self.member, epoch, _milliseconds(ttl), _STATE_SECONDS, self._feed_seconds(ttl)),
        )
        return bool(reply[0] == b"ok")

    async def release(self, position: Position) -> None:
        """As `Coordinator.release`."""
        keys = self._keys
        await self._script(
            scripts.RELEASE, [keys.lease, keys.state, keys.feed], self.member, position.epoch, position.number
        )

    async def lease(self) -> LeaseInfo | None:
        """As `Coordinator.lease`."""
        info = await self._state()
        return info if info.member else None

    async def publish(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.publish`."""
        check_size(payload, self.max_payload)
        keys, (epoch, number) = self._keys, position
        accepted = self._accepted.number if self._accepted.epoch == epoch else 0
        oldest = START
        if self._retention.epoch == epoch:
            oldest = self._retention.add(number, len(payload), boot_time())
        reply = await self._script(
            scripts.PUBLISH,
            [keys.lease, keys.state, keys.feed],
            *(self.member, epoch, number, accepted, stream_id(oldest), payload),
        )
        if reply[0] == b"lost":
            raise Fenced(f"{self._where} has lost records of epoch {epoch}, which this host leads", epoch=epoch)
        self._check_fence(reply, epoch)
        self._accepted = max(self._accepted, position)

    async def follow(self, feed: Position, answers: Position, wait: float) -> list[Record]:
        """As `Coordinator.follow`."""
        keys = self._keys
        streams = await self._read({keys.feed: feed, keys.answers: answers}, wait)
        found = with_gaps(feed, (record_of(*entry) for entry in streams.get(keys.feed, ())))
        found += [record_of(*entry) for entry in streams.get(keys.answers, ())]
        if not found and (end := (await self._state()).end) < feed:
            found.append(Record(RecordKind.MISSED, end))
        return found

    async def submit(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.submit`."""
        check_size(payload, self.max_payload)
        keys = self._keys
        reply = await self._script(
            scripts.SUBMIT,
            [keys.lease, keys.state, keys.mailbox, keys.members],
            *(self.member, position.epoch, position.number, _MOST_MAILS, _STATE_SECONDS, payload),
        )
        if reply[0] == b"full":
            raise MailboxFull(f"{_MOST_MAILS} submissions wait for the leader of epoch {position.epoch}")
        self._check_fence(reply, position.epoch)

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """As `Coordinator.take`."""
        key = self._keys.mailbox
        if done.number and done > self._trimmed:
            await self._run("XTRIM", key, "MINID", f"{done.epoch}-{done.number + 1}")
            self._trimmed = done
        entries = (await self._read({key: done}, wait)).get(key, ())
        return [submission_of(*entry) for entry in entries if entry[0].epoch == done.epoch]

    async def answer(self, member: str, position: Position, payload: bytes) -> None:
        """As `Coordinator.answer`."""
        check_size(payload, self.max_payload)
        keys, (epoch, number) = self._keys, position
        reply = await self._script(
            scripts.ANSWER,
            [keys.lease, keys.answers_to(check_member_name(member))],
            *(self.member, epoch, number, _MOST_ANSWERS, _ANSWER_SECONDS, payload),
        )
        self._check_fence(reply, epoch)

    def descriptors(self) -> list[int]:
        """As `Coordinator.descriptors`."""
        return self._client.descriptors()

    async def announce(self, note: bytes, feed: Position, ttl: float) -> Lag | None:
        """As `Coordinator.announce`."""
        keys = self._keys
        reply = await self._script(
            scripts.ANNOUNCE,
            [keys.state, keys.feed, keys.present, keys.index],
            *(self.member, note, _milliseconds(ttl), *feed, self._digest),
        )
        return parse_lag(*reply)

    async def reserve_slot(self, name: str, period: float, delay: float) -> float:
        """As `Coordinator.reserve_slot`."""
        key = slot_of(self._prefix, check_member_name(name))
        try:
            waited = await self._script(scripts.RESERVE_SLOT, [key], _milliseconds(period), round(delay * 1000))
        except EngineUnusable as error:
            if WRONG_TYPE not in str(error):
                raise
            waited = [b"foreign"]
        if isinstance(waited, list):
            raise foreign_key(self._where, key)
        return int(waited) / 1000

    async def aclose(self) -> None:
        """As `Coordinator.aclose`."""
        await self._client.aclose()

    async def _state(self) -> LeaseInfo:
        return lease_of(await self._script(scripts.LEASE, [self._keys.lease, self._keys.state]), self._where)

    async def _read(
        self, after: dict[str, Position], wait: float
    ) -> dict[str, list[tuple[Position, dict[bytes, bytes]]]]:
        block = ("BLOCK", _milliseconds(wait)) if wait > 0 else ()  # BLOCK 0 waits for ever
        ids = [stream_id(position) for position in after.values()]
        reply = await self._run("XREAD", "COUNT", _MOST_RECORDS, *block, "STREAMS", *after, *ids, wait=wait)
        return parse_streams(reply)

    async def _run(self, *command: str | bytes | int, wait: float = 0.0) -> Any:
        try:
            return await self._client.run(*command, wait=wait)
        except EngineUnusable as error:
            raise await self._named(error) from error.__cause__

    async def _script(self, script: scripts.RedisScript, keys: list[str], *arguments: str | bytes | int) -> Any:
        try:
            return await self._client.run_script(script, keys, *arguments)
        except EngineUnusable as error:
            raise await self._named(error) from error.__cause__

    async def _named(self, error: EngineUnusable) -> EngineUnusable:
        """The error with the key of another type, if that is the reason."""
        if WRONG_TYPE not in str(error):
            return error
        from ._redis_check import taken_key  # noqa: PLC0415 - needed once

        return await taken_key(self._client, self._keys.kinds(), self._where) or error

    def _feed_seconds(self, ttl: float) -> int:
        return math.ceil(ttl + self._bounds.seconds)

    def _check_fence(self, reply: Any, epoch: int) -> None:
        if reply[0] == b"fenced":
            leading = int(reply[1]) if reply[1] else None
            raise fenced(epoch, leading if leading != epoch else None)  # else it leads, but with another member


def lease_of(reply: Any, where: str) -> LeaseInfo:
    """The lease in the reply of a script; without a member if it is free.

    Raises `VersionMismatch`, and `EngineKeyTaken`.
    """
    used = reply[-1]
    if used not in (b"", str(FORMAT).encode()):
        raise other_format(where, used.decode())
    if reply[0] == b"foreign":
        raise foreign_key(where, reply[1].decode())
    member, held, left, epoch, number, _ = reply
    return LeaseInfo(member.decode(), int(held or 0), max(0, left) / 1000, Position(int(epoch), int(number)))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _client_class() -> type[RedisClient]:
    try:
        from ._redis_client import RedisClient  # noqa: PLC0415 - only if Redis is used
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "redis":
            raise
        raise MissingExtra('RedisCoordinator needs redis-py: pip install "onesocket[redis]"') from error
    return RedisClient
