"""The mailbox of a cluster in NATS: a stream that refuses more than it has room for."""

from __future__ import annotations

import asyncio
from typing import Final

from ...errors import MailboxFull
from ._coordinator import Position, Submission
from ._nats_client import NatsClient
from ._nats_connection import NatsMessage
from ._nats_errors import STREAM_FULL, NatsRefused
from ._nats_reader import NatsReader
from ._nats_records import MEMBER, NUMBER, NatsNames, parse_submission

_MOST: Final = 100


class NatsMailbox:
    """Submits to the leader of an epoch; takes, as its leader.

    A repeated submission may be stored twice: the leader drops those whose number it had from their member.
    """

    def __init__(self, client: NatsClient, names: NatsNames, member: str) -> None:
        self._client = client
        self._names = names
        self._member = member
        self._reader = NatsReader(client, names.mail_stream)
        self._epoch = 0
        self._dropped = 0
        self._place = 0
        self._returned: list[Submission] = []
        self._numbers: dict[str, int] = {}
        """The highest number of each member among what is done."""

    def __repr__(self) -> str:
        return f"<NatsMailbox epoch={self._epoch} {self._reader!r}>"

    def forget(self) -> None:
        """Begin anew: the stream is another one."""
        self._epoch = 0

    async def submit(self, position: Position, payload: bytes) -> None:
        """As `Coordinator.submit`, without its fencing."""
        headers = {MEMBER: self._member, NUMBER: str(position.number)}
        try:
            await self._client.write(NatsMessage(self._names.mailbox(position.epoch), payload, headers))
        except NatsRefused as refused:
            if refused.code == STREAM_FULL and "messages" in refused.text:
                raise MailboxFull(f"the mailbox of epoch {position.epoch} is full: {refused.text}") from refused
            raise

    async def take(self, done: Position, wait: float) -> list[Submission]:
        """As `Coordinator.take`."""
        if done.epoch != self._epoch:
            await self._begin(done.epoch)
        await self._forget_done(done)
        if not self._reader.is_open or self._place != done.number:
            await self._reader.open(done.number, (self._names.mailbox(done.epoch),))
            self._place = done.number
            self._returned = []
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while stored := await self._reader.read_until(until, _MOST):
            if found := self._without_repeated([parse_submission(each) for each in stored]):
                self._place = found[-1].position.number
                self._returned += found
                return found
        return []

    async def _begin(self, epoch: int) -> None:
        """Drop what was submitted to earlier epochs."""
        stream = self._names.mail_stream
        info = await self._client.ask(f"STREAM.INFO.{stream}", {"subjects_filter": self._names.every_mailbox})
        held: dict[str, int] = info["state"].get("subjects") or {}
        for subject in held:
            if int(subject.rpartition(".")[2]) < epoch:
                await self._client.ask(f"STREAM.PURGE.{stream}", {"filter": subject})
        await self._reader.close()
        self._epoch, self._dropped, self._place = epoch, 0, 0
        self._returned, self._numbers = [], {}

    async def _forget_done(self, done: Position) -> None:
        if done.number <= self._dropped:
            return
        body = {"filter": self._names.mailbox(done.epoch), "seq": done.number + 1}
        await self._client.ask(f"STREAM.PURGE.{self._names.mail_stream}", body)
        self._dropped = done.number
        for each in self._returned:
            if each.position <= done:
                self._numbers[each.member] = max(each.number, self._numbers.get(each.member, 0))
        self._returned = [each for each in self._returned if each.position > done]

    def _without_repeated(self, submissions: list[Submission]) -> list[Submission]:
        numbers = dict(self._numbers)
        for each in self._returned:
            numbers[each.member] = max(each.number, numbers.get(each.member, 0))
        found: list[Submission] = []
        for each in submissions:
            if each.number > numbers.get(each.member, 0):
                numbers[each.member] = each.number
                found.append(each)
        return found
