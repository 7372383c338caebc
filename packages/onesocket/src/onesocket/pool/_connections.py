"""The connections of a pool, and the keys on them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..client._client import Client
from ..client._fan_out import FanOut
from ..client._gap import Gap, GapReason
from ..client._rotation import Rotation
from ..client._status import Change
from ..client._subscription_counts import SubscriptionCounts
from ..client._upstream_subscriptions import KeySubscriber
from ..client._user_code import USER_ERRORS
from ..errors import OnesocketError, PoolFull, ServerBusy, SubscriptionRefused
from ..lifecycle._states import State
from ._move import Move
from ._pool_connection import PoolConnection

_GHOST_SECONDS: Final = 60.0
"""Seconds for which a connection of our own that is closed or lost may still count at the service."""
_SHRUNK_SECONDS: Final = 300.0
"""Seconds until a connection more is tried again where the service has refused one."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """The checked options of a pool."""

    per_connection: int
    max_connections: int
    linger: float
    rotation: Rotation | None
    """None: keys stay on their connection."""


class Connections:
    """Spreads keys over connections, the first ones first, and delivers each key's messages from the one that has it.

    Keys are counted over their readers. A connection is opened when keys have no room on the others, and closed when it
    has had none for a while. One `Move` at a time empties a connection whose keys have room on others.
    """

    def __init__(
        self,
        options: PoolOptions,
        fan_out: FanOut,
        *,
        make_client: Callable[[], Client[Any]],
        key_of: Callable[[Any], Hashable],
        report: Callable[[BaseException, str], None],
    ) -> None:
        self._options = options
        self._fan_out = fan_out
        self._make_client = make_client
        self._key_of = key_of
        self._report = report
        self._counts: SubscriptionCounts[KeySubscriber] = SubscriptionCounts()
        self._owners: dict[Hashable, PoolConnection] = {}
        """The connection from which the messages of a key are delivered."""
        self._homeless: dict[Hashable, None] = {}
        """Wanted keys that wait for a connection."""
        self._failed: dict[Hashable, None] = {}
        """Wanted keys whose connection has failed for good: the next subscription tries again."""
        self._owed: dict[Hashable, OnesocketError | None] = {}
        """Wanted keys without a connection that have lost one: a gap is due once they have another."""
        self._move: Move | None = None
        self._closing: set[asyncio.Task[None]] = set()
        """The closes that are under way: each connection may still count at the service."""
        self._stopped_moves: set[asyncio.Task[None]] = set()
        self._last_close = -_GHOST_SECONDS
        self._shrunk_to: int | None = None
        """The number of connections beyond which the service has refused one; None: it has not, or some time ago."""
        self._regrow_timer: asyncio.TimerHandle | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_held = False
        self.items: list[PoolConnection] = []
        """All that are not being closed, the oldest first."""

    def __repr__(self) -> str:
        return f"<Connections {len(self.items)}/{self.bound} keys={len(self._counts)} waiting={self.waiting}>"

    @property
    def waiting(self) -> int:
        """Number of wanted keys without a connection."""
        return len(self._homeless) + len(self._failed)

    @property
    def bound(self) -> int:
        """The most connections there may be now."""
        return self._options.max_connections if self._shrunk_to is None else self._shrunk_to

    # --- readers ------------------------------------------------------------------------------------------------------

    def add(self, reader: KeySubscriber, keys: Iterable[Hashable]) -> None:
        """Count one reader more of these keys. Raises `InvalidOption`."""
        new = self._counts.add_keys(reader, keys)
        if self._fan_out.keeper is not None:
            self._fan_out.keeper.expect(new)
        self._homeless |= self._failed | dict.fromkeys(new)
        self._failed.clear()
        self._place()

    def remove(self, reader: KeySubscriber) -> None:
        """Remove a reader with all its keys."""
        self._let_go(self._counts.drop(reader))

    def hold(self) -> None:
        """Stop reading from all connections."""
        self._is_held = True
        for connection in self.items:
            connection.hold()

    def release(self) -> None:
        """Go on reading."""
        self._is_held = False
        for connection in self.items:
            connection.release()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        """Give each key that waits to a connection with room, or to a new one; refuse it if there may be none."""
        while self._homeless:
            connection = self._find_room() or self._open()
            if connection is None:
                if not self._closing:
                    self._refuse_all(list(self._homeless))
                return
            keys = list(itertools.islice(self._homeless, connection.room))
            for key in keys:
                del self._homeless[key]
                self._owners[key] = connection
            connection.add(keys)
            self._tell_owed(connection, keys)

    def _find_room(self) -> PoolConnection | None:
        """The first connection with room that is up, else the first one with room."""
        free = [each for each in self.items if each.room > 0]
        return next((each for each in free if each.is_connected), free[0] if free else None)

    def _tell_owed(self, connection: PoolConnection, keys: list[Hashable]) -> None:
        """Tell of the messages that keys may have missed until they got this connection."""
        owed = {key: self._owed.pop(key) for key in keys if key in self._owed}
        if owed:
            error = next(iter(owed.values()))
            self._fan_out.announce(
                Gap(GapReason.RECONNECTED, connection.client.epoch, error=error, keys=frozenset(owed))
            )

    def _open(self) -> PoolConnection | None:
        if len(self.items) + len(self._closing) >= self.bound:
            return None
        connection = PoolConnection(self._make_client(), self._options.per_connection, self)
        self.items.append(connection)
        if self._is_held:
            connection.hold()
        connection.open()
        return connection

    def _let_go(self, keys: list[Hashable]) -> None:
        """Unsubscribe from keys that have no reader any more."""
        self._stop_move_of(keys)
        if self._fan_out.keeper is not None:
            self._fan_out.keeper.forget(keys)
        for connection, gone in self._by_owner(keys).items():
            connection.remove(gone)
        self._forget(keys)
        self._sweep_later()

    def _forget(self, keys: Iterable[Hashable]) -> None:
        for key in keys:
            for collection in (self._owners, self._homeless, self._failed, self._owed):
                collection.pop(key, None)

    def _by_owner(self, keys: Iterable[Hashable]) -> Mapping[PoolConnection, list[Hashable]]:
        parts: dict[PoolConnection, list[Hashable]] = {}
        for key in keys:
            if key in self._owners:
                parts.setdefault(self._owners[key], []).append(key)
        return parts

    def _owned(self, connection: PoolConnection) -> list[Hashable]:
        return [key for key in connection.keys if self._owners.get(key) is connection]

    def _refuse_all(self, keys: list[Hashable]) -> None:
        bound, each = self.bound, self._options.per_connection
        if bound < self._options.max_connections:
            why = (
                f"the service takes no more than {bound} connections now; close other streams first, or other programs"
            )
        else:
            why = f"max_connections={bound}, with {each} keys each, are full; raise it, or close other streams first"
        self._refuse(keys, lambda lost: PoolFull.of(lost, why, retryable=True))

    def _refuse(self, keys: list[Hashable], error_of: Callable[[list[Hashable]], SubscriptionRefused]) -> None:
        self._forget(keys)
        if self._fan_out.keeper is not None:
            self._fan_out.keeper.forget(keys)
        for reader, lost in self._counts.refuse(keys):
            reader.refused(error_of(lost))

    # --- events of connections ----------------------------------------------------------------------------------------

    def messages(self, connection: PoolConnection, batch: list[Any]) -> None:
        """Deliver the messages of keys that this connection has, and those without a key."""
        owner_of, key_of, move = self._owners.get, self._key_of, self._move
        if move is None or move.side(connection) is None:
            try:
                mine = [message for message in batch if owner_of(key_of(message), connection) is connection]
            except USER_ERRORS:
                pass  # one by one, below
            else:
                if mine:
                    self._fan_out.publish_many(mine)
                return
        for message in batch:
            try:
                key = key_of(message)
                owner = owner_of(key, connection)
            except USER_ERRORS:
                key, owner = None, connection  # it is reported where streams of keys are looked up
            side = None if move is None or key not in move.keys else move.side(connection)
            if side is not None:
                side.publish(message)
            elif owner is connection:
                self._fan_out.publish(message)

    def gap(self, connection: PoolConnection, gap: Gap) -> None:
        """Tell the readers of its keys."""
        keys = self._owned(connection)
        if keys:
            self._fan_out.announce(replace(gap, keys=frozenset(keys)))

    def changed(self, connection: PoolConnection, change: Change) -> None:
        """Look whether keys have to leave the connection."""
        if connection not in self.items:
            return
        if change.new is State.CONNECTED:
            self._sweep_later()
            return
        if self._move is not None:
            self._lost_in_move(self._move, connection, change.error)
        if change.new is State.FAILED and change.error is not None:
            self._gave_up(connection, change.error)
            return
        if change.new is not State.BACKING_OFF:
            return
        is_one_too_many = self._is_one_too_many(connection, change.error)
        if is_one_too_many:
            self._shrink(len(self.items) - 1)
        if is_one_too_many or self._have_room(connection):
            self._homeless |= dict.fromkeys(self._leave(connection, change.error))
            self._place()

    def _have_room(self, connection: PoolConnection) -> bool:
        """True if others that are up have room for all keys of a connection that is down."""
        room = sum(each.room for each in self.items if each.is_connected)
        return room >= len(connection.keys)

    def refused(self, connection: PoolConnection, error: SubscriptionRefused) -> None:
        """Tell the readers of refused keys; a move of such a key is given up."""
        if connection not in self.items:
            return
        keys = [key for key in error.keys if key in connection.keys]
        connection.drop(keys)
        mine = [key for key in keys if self._owners.get(key) is connection]
        self._stop_move_of(keys)
        self._refuse(mine, lambda lost: SubscriptionRefused.of(lost, error.reason, retryable=error.retryable))
        if mine or not connection.keys:  # else it was a key of the move, which would be refused again
            self._sweep_later()

    def _is_one_too_many(self, connection: PoolConnection, error: OnesocketError | None) -> bool:
        """True if the service has refused this connection for the sake of the others."""
        if not isinstance(error, ServerBusy) or not error.is_connection_limit:
            return False
        ended_at = max(self._last_close, connection.lost_at)
        is_ghost = asyncio.get_running_loop().time() < ended_at + _GHOST_SECONDS
        return not is_ghost and any(each.is_connected for each in self.items)

    def _shrink(self, connections: int) -> None:
        self._shrunk_to = connections
        if self._regrow_timer is not None:
            self._regrow_timer.cancel()
        self._regrow_timer = asyncio.get_running_loop().call_later(_SHRUNK_SECONDS, self._regrow)

    def _regrow(self) -> None:
        self._shrunk_to = self._regrow_timer = None

    def _gave_up(self, connection: PoolConnection, error: OnesocketError) -> None:
        keys = self._leave(connection, error)
        self._failed |= dict.fromkeys(keys)
        self._fan_out.fail_keys(error, keys)

    def _leave(self, connection: PoolConnection, error: OnesocketError | None = None) -> list[Hashable]:
        """Close a connection; returns the keys that it had, which may miss messages from now on."""
        keys = self._owned(connection)
        for key in keys:
            del self._owners[key]
        if connection.was_ready:
            self._owed |= dict.fromkeys(keys, error)
        self.items.remove(connection)
        self._last_close = asyncio.get_running_loop().time() if connection.was_ready else self._last_close
        task = asyncio.get_running_loop().create_task(connection.client.aclose(), name="onesocket pool")
        self._closing.add(task)
        task.add_done_callback(self._left)
        return keys

    def _left(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        self._place()

    # --- fewer connections --------------------------------------------------------------------------------------------

    def _sweep_later(self, seconds: float | None = None) -> None:
        if self._sweep_timer is None:
            seconds = self._options.linger if seconds is None else seconds
            self._sweep_timer = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close connections that have had no keys for a while, and begin to empty one whose keys have other places."""
        self._sweep_timer = None
        now, linger = asyncio.get_running_loop().time(), self._options.linger
        move = self._move
        empty = [each for each in self.items if not each.keys and (move is None or move.side(each) is None)]
        for connection in empty:
            if now >= connection.idle_since + linger:
                self._leave(connection)
            else:
                self._sweep_later(connection.idle_since + linger - now)
        if self._options.rotation is not None and self._move is None:
            self._begin_move(self._options.rotation)

    def _begin_move(self, rotation: Rotation) -> None:
        connected = sorted((each for each in self.items if each.keys and each.is_connected), key=lambda it: it.room)
        if len(connected) < 2:
            return
        source = connected.pop()
        targets = [each for each in connected if each.room > 0]
        if sum(each.room for each in targets) < len(source.keys):
            return
        self._move = Move(
            source,
            targets[0],
            list(source.keys)[: targets[0].room],
            rotation=rotation,
            publisher=self._fan_out,
            report=self._report,
            on_switch=self._switched,
            end=self._moved,
        )

    def _switched(self, move: Move) -> None:
        for key in move.keys:
            self._owners[key] = move.target

    def _moved(self, move: Move) -> None:
        if self._move is move:
            self._move = None
            self._sweep()

    def _lost_in_move(self, move: Move, connection: PoolConnection, error: OnesocketError | None) -> None:
        """End a move whose source or target is lost."""
        if connection is move.source and not move.has_switched:
            self._fan_out.announce(
                Gap(GapReason.RECONNECTED, move.target.client.epoch, error=error, keys=frozenset(move.keys))
            )
            move.switch(is_seamless=False)  # copies of what the source has brought may still come: the move goes on
        elif connection is move.target:
            self._stop_move(move)

    def _stop_move_of(self, keys: Iterable[Hashable]) -> None:
        move = self._move
        if move is not None and not move.has_switched and not move.keys.isdisjoint(keys):
            self._stop_move(move)

    def _stop_move(self, move: Move) -> None:
        self._move = None
        move.stop()
        self._stopped_moves.add(move.task)
        move.task.add_done_callback(self._stopped_moves.discard)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close all connections, and wait until nothing is left of them."""
        self._forget(list(self._counts))
        if self._move is not None:
            self._stop_move(self._move)
        for timer in (self._sweep_timer, self._regrow_timer):
            if timer is not None:
                timer.cancel()
        for connection in tuple(self.items):
            self._leave(connection)
        while left := self._closing | self._stopped_moves:
            await asyncio.wait(left)
