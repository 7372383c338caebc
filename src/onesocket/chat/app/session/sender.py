"""What was typed goes out: in order in each channel, once, when the line is up."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec.structs import replace

from .... import OnesocketError, OutboxFull, OutboxLimits
from ....discord.rest import BadAnswer, Unauthorized
from ..model.outbox import Draft, Fate
from ..model.reducer import stored
from ..model.things import Message, read
from ..model.world import World
from .shared import Shared

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


class Sender:
    """Works off the outbox. The nonce is the draft's own, and enforced: a message that is sent twice is stored once."""

    def __init__(self, shared: Shared, limits: OutboxLimits) -> None:
        self._store = shared.store
        self._rest = shared.rest
        self._line = shared.line
        self._chores = shared.chores
        self._complaints = shared.complaints
        self._limits = limits

    def __repr__(self) -> str:
        return f"<Sender {len(self._store.world.outbox)}/{self._limits.messages}>"

    def accept(self, draft: Draft) -> None:
        """Send this as soon as the line is up. Raises `OutboxFull`."""
        waiting = len(self._store.world.outbox)
        if waiting >= self._limits.messages:
            raise OutboxFull(f"{waiting} messages wait already, which is the limit; discard some, or wait for the line")
        self._store.change(lambda world: replace(world, outbox=world.outbox.add(draft)))
        self._work(draft.channel_id)

    def resume(self, draft: Draft) -> None:
        """Go on with one that was accepted earlier, by a session that is over."""
        self._store.change(lambda world: replace(world, outbox=world.outbox.add(draft)))
        self._work(draft.channel_id)

    def retry(self, nonce: str) -> None:
        """Try a failed one again."""
        draft = self._store.world.outbox.find(nonce)
        if draft is not None and draft.fate is Fate.FAILED:
            now = asyncio.get_running_loop().time()
            self._store.change(lambda world: replace(world, outbox=world.outbox.retry(nonce, now)))
            self._work(draft.channel_id)

    def discard(self, nonce: str) -> bool:
        """Give up one that waits or failed; False: it is on its way, or stored."""
        draft = self._store.world.outbox.find(nonce)
        if draft is None or draft.fate is Fate.SENDING:
            return False
        self._store.change(lambda world: replace(world, outbox=world.outbox.without(nonce)))
        return True

    def _work(self, channel_id: int) -> None:
        self._chores.start(f"send to {channel_id}", self._send_all(channel_id))

    async def _send_all(self, channel_id: int) -> None:
        pause = _FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while (draft := self._store.world.outbox.next_of(channel_id)) is not None:
            left = draft.since + self._limits.age - loop.time()
            if left <= 0 or not await self._line.wait_up(left):
                self._mark(draft, Fate.FAILED, f"it waited {self._limits.age:g} s for the server")
                continue
            if self._store.world.outbox.find(draft.nonce) is None:
                continue  # discarded meanwhile
            self._mark(draft, Fate.SENDING)
            try:
                await self._send(draft)
            except Unauthorized as error:
                self._mark(draft, Fate.WAITING)  # for the next time that somebody signs in
                self._complaints.failed("send", error)
                return
            except OnesocketError as error:
                if not error.retryable:
                    self._mark(draft, Fate.FAILED, str(error))
                    self._complaints.failed("send", error)
                    continue
                self._mark(draft, Fate.WAITING)
                await asyncio.sleep(min(pause, max(0.0, left)))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                pause = _FIRST_PAUSE
                self._complaints.succeeded("send")

    async def _send(self, draft: Draft) -> None:
        answer = await self._rest.send_message(
            draft.channel_id, draft.content, reply_to=draft.reply_to, nonce=draft.nonce
        )
        try:
            message = read(answer, Message)
        except msgspec.ValidationError as error:  # it is stored all the same
            self._store.change(lambda world: replace(world, outbox=world.outbox.without(draft.nonce)))
            self._complaints.failed("unreadable", BadAnswer(f"the answer can't be read: {error}", status=200))
            return
        self._store.change(lambda world: _arrived(world, message, draft.nonce))

    def _mark(self, draft: Draft, fate: Fate, reason: str = "") -> None:
        self._store.change(lambda world: replace(world, outbox=world.outbox.mark(draft.nonce, fate, reason)))


def _arrived(world: World, message: Message, nonce: str) -> World:
    return replace(stored(world, message), outbox=world.outbox.without(nonce))
