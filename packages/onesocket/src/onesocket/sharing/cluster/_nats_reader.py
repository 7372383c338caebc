"""Reads the messages of some subjects of a stream, in order, as the server pushes them."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any, Final, NoReturn

from ...errors import EngineUnavailable
from ._nats_client import NatsClient
from ._nats_connection import NatsConnection, NatsMessage
from ._nats_records import StreamMessage

_HEARTBEAT: Final = 1.0
_MOST_SILENCE: Final = 3 * _HEARTBEAT
_KEPT_UNUSED: Final = 10.0
"""Seconds after which the server forgets a consumer that nobody listens to."""
_NANOSECONDS: Final = 10**9
_STATUS: Final = "Status"
_STALLED: Final = "Nats-Consumer-Stalled"
_LAST: Final = "Nats-Last-Consumer"
"""In a heartbeat: the consumer's sequence of the last message that was pushed."""


class NatsReader:
    """A push consumer without acknowledgements, made anew where the reader was when it is lost.

    The server pushes no more than a few megabytes until they are read (flow control), and sends heartbeats, so that a
    consumer that is gone is noticed.
    """

    def __init__(self, client: NatsClient, stream: str) -> None:
        self._client = client
        self._stream = stream
        self.subjects: tuple[str, ...] = ()
        self.sequence = 0
        """Of the last message that was read: the reader goes on after it."""
        self._connection: NatsConnection | None = None
        self._subscription: Any = None
        self._queue: deque[NatsMessage] = deque()
        self._changed = asyncio.Event()
        self._delivered: int = 0
        self._awaited: int = 0
        """Messages that are on their way of those that the stream held when this reader was opened, at most."""
        self._heard_at = 0.0

    def __repr__(self) -> str:
        return f"<NatsReader {self._stream} sequence={self.sequence} queue={len(self._queue)}>"

    @property
    def is_open(self) -> bool:
        """True while the server pushes."""
        return self._connection is not None and not self._connection.is_lost

    async def open(self, after: int, subjects: tuple[str, ...]) -> None:
        """Begin to read after a sequence."""
        await self.close()
        self.sequence, self.subjects = after, subjects
        connection = self._client.connection
        subject, self._subscription = await connection.subscribe(self._came)
        self._connection = connection
        connection.watchers.add(self._changed.set)
        name = secrets.token_hex(8)
        config = {
            "name": name,
            "deliver_subject": subject,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": after + 1,
            "filter_subjects": subjects,
            "ack_policy": "none",
            "max_deliver": 1,
            "flow_control": True,
            "idle_heartbeat": int(_HEARTBEAT * _NANOSECONDS),
            "inactive_threshold": int(_KEPT_UNUSED * _NANOSECONDS),
            "mem_storage": True,
            "num_replicas": 1,
        }
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        try:
            made = await self._client.ask(f"CONSUMER.CREATE.{self._stream}.{name}", body, connection)
        except BaseException:
            await self.close()
            raise
        # Some may have been pushed before this answer, and what is dropped from the stream meanwhile never comes.
        came = sum(_STATUS not in each.headers for each in self._queue)
        is_idle = bool(self._queue) and _pending(self._queue[-1]) == 0
        held = int(made["delivered"]["consumer_seq"]) + int(made["num_pending"])
        self._awaited = 0 if is_idle else max(0, held - came)
        self._heard_at = asyncio.get_running_loop().time()

    async def read(self, wait: float, most: int) -> list[StreamMessage]:
        """Return up to `most` messages; blocks up to `wait` seconds for the first one, [] if none came.

        Raises `EngineUnavailable` if the consumer is gone; the next call of `open` goes on after `sequence`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while True:
            await self._answer_flow_control()
            if not self._is_catching_up(most) and (found := self._read_nowait(most)):
                return found
            now = loop.time()
            alive_until = self._heard_at + _MOST_SILENCE
            if not self.is_open or now >= alive_until or (self._queue and not self._is_catching_up(most)):
                await self._give_up()
            if not self._awaited and now >= until:
                return []
            due = alive_until if self._awaited else until
            self._changed.clear()
            try:
                async with asyncio.timeout_at(min(due, alive_until)):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def read_until(self, until: float, most: int) -> list[StreamMessage]:
        """As `read`, up to a time of the event loop; if it has passed, all that the server holds counts as come."""
        wait = until - asyncio.get_running_loop().time()
        found = await self.read(max(0.0, wait), most)
        if found or wait > 0:
            return found
        for subject in self.subjects:
            if await self._client.next_after(self._stream, subject, self.sequence) is not None:
                return await self.read(_MOST_SILENCE, most)
        return []

    async def _give_up(self) -> NoReturn:
        await self.close()
        raise EngineUnavailable(f"the consumer of the stream {self._stream} is lost")

    async def close(self) -> None:
        """End the subscription; the server then forgets the consumer."""
        connection, self._connection = self._connection, None
        self._queue.clear()
        self._delivered, self._awaited = 0, 0
        if connection is not None:
            connection.watchers.discard(self._changed.set)
            await connection.unsubscribe(self._subscription)

    def _is_catching_up(self, most: int) -> bool:
        """True while more is on its way of what the stream held when this reader was opened."""
        queue = self._queue
        if queue and queue[-1].headers.get(_STATUS) == "100":
            return False  # the server waits for an answer
        return len(queue) < most and self._awaited > 0

    def _came(self, message: NatsMessage) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        self._queue.append(message)
        if self._awaited:
            # The server's count is of the moment of each message; it may go wrong when messages are dropped.
            self._awaited = 0 if _pending(message) == 0 else self._awaited - (_STATUS not in message.headers)
        self._changed.set()

    async def _answer_flow_control(self) -> None:
        """Tell the server that all before its question is read; a cancellation asks again.

        Raises `EngineUnavailable` if a heartbeat tells that messages are missing.
        """
        while self._queue and (status := self._queue[0]).headers.get(_STATUS) == "100":
            if int(status.headers.get(_LAST, 0)) > self._delivered:
                await self._give_up()
            reply = status.reply or status.headers.get(_STALLED, "")
            if reply and self._connection is not None:
                await self._connection.publish(NatsMessage(reply, b"", {}))
            self._queue.popleft()

    def _read_nowait(self, most: int) -> list[StreamMessage]:
        """The messages that are there; [] with something in the queue: a message before it is missing."""
        found: list[StreamMessage] = []
        while self._queue and len(found) < most and self._queue[0].headers.get(_STATUS) != "100":
            subject, data, headers, reply = self._queue[0]
            sequence, delivered = _sequences(reply)
            if delivered != self._delivered + 1:
                break
            self._queue.popleft()
            self._delivered, self.sequence = delivered, sequence
            found.append(StreamMessage(subject, sequence, headers, data))
        return found


def _pending(message: NatsMessage) -> int:
    """Number of messages that the server had still to push after this one."""
    if _STATUS in message.headers:
        return 0 if _LAST in message.headers and _STALLED not in message.headers else 1
    parts = message.reply.split(".")
    return int(parts[8 if len(parts) == 9 else 10])


def _sequences(reply: str) -> tuple[int, int]:
    """Sequences in the stream and of the consumer; ``$JS.ACK.`` with 7 more parts, or 9, or 10 of newer servers."""
    parts = reply.split(".")
    first = 5 if len(parts) == 9 else 7
    return int(parts[first]), int(parts[first + 1])
