"""The move of keys from one connection to another: no message of them is lost, doubled or reordered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from ..client._frame_receivers import Publisher
from ..client._overlap import Overlap
from ..client._rotation import Rotation
from ._pool_connection import PoolConnection


class Move:
    """Subscribes to keys on the target, lets both deliver for a while, then unsubscribes from them on the source.

    As in a rotation, the messages of the two are merged by their identities. Until the switch, the keys belong to the
    source; then to the target.
    """

    __slots__ = ("_end", "_on_switch", "_overlap", "_rotation", "keys", "source", "target", "task")

    def __init__(
        self,
        source: PoolConnection,
        target: PoolConnection,
        keys: list[Hashable],
        *,
        rotation: Rotation,
        publisher: Publisher,
        report: Callable[[BaseException, str], None],
        on_switch: Callable[[Move], None],
        end: Callable[[Move], None],
    ) -> None:
        """`on_switch`: called when the target takes over; `end`: called once it is over, unless it was stopped."""
        self.source, self.target = source, target
        self.keys = frozenset(keys)
        self._rotation = rotation
        self._overlap = Overlap(publisher, rotation.identity, report)
        self._on_switch = on_switch
        self._end = end
        target.add(keys)
        self.task = asyncio.get_running_loop().create_task(self._run(), name="onesocket pool")

    def __repr__(self) -> str:
        return f"<Move keys={len(self.keys)} {self._overlap!r}>"

    @property
    def has_switched(self) -> bool:
        """True once the target has taken over."""
        return self._overlap.has_switched

    def side(self, connection: PoolConnection) -> Publisher | None:
        """The taker of the messages of these keys from this connection; None: it has no part in the move."""
        if connection is self.source:
            return self._overlap.old
        return self._overlap.new if connection is self.target else None

    def switch(self, *, is_seamless: bool = True) -> None:
        """Let the target take over now; otherwise than seamless, after the loss of the source."""
        self._on_switch(self)
        self.source.remove(self.keys)
        self._overlap.switch(is_seamless=is_seamless)  # last: it calls the program, which may change anything

    def stop(self) -> None:
        """End the move: before the switch, the target is not subscribed to the keys any more."""
        self.task.cancel()
        if not self.has_switched:
            self.target.remove(self.keys)

    async def _run(self) -> None:
        await self._until(lambda: self.has_switched or self.target.has_all(self.keys))
        if not self.has_switched:
            self.switch()
        await self._until(lambda: not self.source.has_any(self.keys))
        self._end(self)

    async def _until(self, is_done: Callable[[], bool]) -> None:
        """Wait for this, and for the time of the overlap after it, with the sockets read to the end."""
        is_calm = False
        while not is_calm:
            is_calm = is_done()
            await asyncio.sleep(self._rotation.overlap)
            is_calm = is_calm and not self.source.is_held
