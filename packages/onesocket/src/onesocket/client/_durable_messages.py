"""The messages of a client with a `DurableOutbox`: stored, then sent, then settled."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from ..errors import (
    DeliveryUnknown,
    EncodeError,
    ManuallyDisconnected,
    MessageExpired,
    MessageKept,
    MessageNotStored,
    OnesocketError,
)
from ..lifecycle._stored_queue import MessageId, StoredEntry, StoredQueue, StoredState
from ..protocols._acknowledgement import Acknowledgement
from ..wire._handshake import Data
from ._delivery import Delivery
from ._durable_outbox import DurableOutbox, StoredMessage
from ._message_store import Delete, Insert, Mark, Operation, StoredRow
from ._store_writer import StoreWriter
from ._user_code import USER_ERRORS

_log = logging.getLogger("onesocket")
_MAX_INT: Final = 2**63
_IS_NEWS: Final = True


class StoredDelivery(Delivery):
    """Fate of a message in a `DurableOutbox`: done when it is settled."""

    __slots__ = ("_accepted", "entry", "is_stored")

    def __init__(self) -> None:
        super().__init__(None, resend=True)
        self.entry: StoredEntry[StoredDelivery] | None = None
        """The message."""
        self.is_stored = False
        """True once it is on disk."""
        self._accepted: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return super().__repr__() if self.done or self.entry is None else f"<Delivery {self.entry.state.value}>"

    async def accepted(self) -> None:
        """Wait until the message is on disk; raises `MessageNotStored`, or `DeliveryUnknown` of too slow a disk."""
        if not self.is_stored and not self.done:
            if self._accepted is None:
                self._accepted = asyncio.get_running_loop().create_future()
            self._watchers += 1
            try:
                await asyncio.shield(self._accepted)
            finally:
                self._watchers -= 1
        if not self.is_stored and self.error is not None:
            raise self.error.copy()

    def stored(self) -> None:
        """Note that the message is on disk."""
        self.is_stored = True
        self._wake()

    def _wake(self) -> None:
        if self._accepted is not None and not self._accepted.done():
            self._accepted.set_result(None)

    def resolve(self, error: OnesocketError | None = None) -> None:
        """Set the fate, unless it is set."""
        if not self.done:
            if error is None or isinstance(error, MessageKept):
                self.earlier_unknown = None
            super().resolve(error)
            self._wake()


class DurableMessages:
    """Stores each message before it is sent, and removes it once it is settled.

    A message is only sent once the file says that it may have been: so a restart knows which ones can be doubled.
    """

    def __init__(
        self,
        outbox: DurableOutbox,
        acknowledgement: Acknowledgement | None,
        *,
        shown_url: str,
        refusal: Callable[[], OnesocketError | None],
        report: Callable[[BaseException, str, bool], None],
    ) -> None:
        self._outbox = outbox
        self._acknowledgement = acknowledgement
        self._shown_url = shown_url
        self._refusal = refusal
        self._report = report
        self._queue: StoredQueue[StoredDelivery] = StoredQueue(outbox.messages, outbox.bytes)
        self._writer: StoreWriter | None = None
        self._closing: StoreWriter | None = None
        """The writer that was told to close: each call of `aclose` waits for it."""
        self._flush: Callable[[], None]
        self._settle: Callable[[Iterable[Delivery], OnesocketError], None]
        self._is_up = False
        """True while there is a connection to send on."""
        self._is_marking = False
        self._expiry: asyncio.TimerHandle | None = None
        self._has_failed = False
        """True if the file could not be written the last time: logged once."""

    def attach(self, flush: Callable[[], None], settle: Callable[[Iterable[Delivery], OnesocketError], None]) -> None:
        """Complete it by two calls of the sender: send what may be sent now; settle deliveries with an error."""
        self._flush = flush
        self._settle = settle

    def __repr__(self) -> str:
        return f"<DurableMessages {self._outbox.path} {len(self._queue)}>"

    def __len__(self) -> int:
        """Number of messages that are not settled."""
        return len(self._queue)

    # --- the file -----------------------------------------------------------------------------------------------------

    def open(self, *, lifts_disconnect: bool = False) -> None:
        """Open the file, unless it is: reads what earlier runs left. Raises `OutboxUnusable` or `OutboxInUse`.

        A stopped client doesn't need it, but with `lifts_disconnect` it is about to go on.
        """
        refusal = self._refusal()
        is_stopped = refusal is not None and not (lifts_disconnect and isinstance(refusal, ManuallyDisconnected))
        if self._writer is not None or is_stopped:
            return
        loop = asyncio.get_running_loop()
        self._writer = StoreWriter(Path(self._outbox.path), loop, self._written)
        now, clock = loop.time(), time.time()
        self._outbox.restored.clear()
        for row in self._writer.rows:
            delivery = StoredDelivery()
            delivery.is_stored = True
            if row.may_have_arrived:
                delivery.earlier_unknown = DeliveryUnknown("an earlier run of the program may have sent this message")
            # No clock that was set back makes a message older than its age.
            expires = now + min(row.expires_at - clock, row.expires_at - row.stored_at)
            delivery.entry = StoredEntry(row.number, row.data, row.message_id, expires, delivery, row.may_have_arrived)
            self._queue.restore(delivery.entry)
            self._outbox.restored.append(
                StoredMessage(row.data, row.message_id, row.stored_at, may_have_arrived=row.may_have_arrived)
            )
        self._writer.rows = []
        self._expire()
        self._log_restored(sum(entry.is_marked for entry in self._queue.entries))

    def _log_restored(self, doubtful: int) -> None:
        if len(self._queue):
            _log.log(
                logging.WARNING if doubtful and self._acknowledgement is None else logging.INFO,
                "%s: the outbox %s has %d messages of an earlier run, which are sent now; %d of them may have arrived",
                self._shown_url,
                self._outbox.path,
                len(self._queue),
                doubtful,
            )

    async def aclose(self, timeout: float) -> None:
        """Close the file, once all is written; messages that are not settled stay in it."""
        self._watch_age(ends=True)
        self._keep()
        if self._writer is not None:
            self._closing, self._writer = self._writer, None
        if self._closing is not None:
            await self._closing.aclose(timeout)
            self._keep()  # what was still being stored
            slow = DeliveryUnknown(f"the disk has not confirmed in time that {self._outbox.path} has this message")
            left = [entry.ticket for entry in self._queue.entries if not (entry.ticket.is_stored or entry.ticket.done)]
            self._settle(left, slow)

    def _submit(self, operation: Operation) -> None:
        if self._writer is not None:
            self._writer.submit(operation)

    def _written(self, operations: list[Operation], error: MessageNotStored | None) -> None:
        """Note that operations are on disk, or could not be written."""
        inserted = [operation.row.number for operation in operations if isinstance(operation, Insert)]
        self._stored([entry for number in inserted if (entry := self._queue.find(number)) is not None], error)
        for operation in operations:
            if isinstance(operation, Mark):
                # Where that failed, the messages go out all the same: better doubled without notice than never sent.
                self._queue.marked(operation.number)
                self._is_marking = False
        if error is not None and not self._has_failed and not inserted:
            self._report(error.copy(), "the outbox", _IS_NEWS)
        self._has_failed = error is not None
        self._go_on()

    def _stored(self, entries: list[StoredEntry[StoredDelivery]], error: MessageNotStored | None) -> None:
        if error is not None:
            for entry in entries:
                self._remove(entry)
            self._settle([entry.ticket for entry in entries], error)
            return
        for entry in entries:
            self._queue.stored(entry)
            entry.ticket.stored()

    # --- calls of the client ------------------------------------------------------------------------------------------

    def post(self, message: Any, data: Data) -> StoredDelivery | None:
        """Take a message; None: it is none to be kept, as it has no id.

        Raises `OutboxFull`, `DuplicateMessage`, `OutboxUnusable`, `EncodeError`, or the client's refusal.
        """
        message_id = None
        if self._acknowledgement is not None:
            message_id = _id_of(self._acknowledgement, message)
            if message_id is None:
                return None
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        self.open()
        delivery = StoredDelivery()
        now, age = time.time(), self._outbox.age
        try:
            entry = self._queue.put(
                data, message_id, delivery, expires=asyncio.get_running_loop().time() + age, is_marked=self._is_up
            )
        except UnicodeError as error:
            raise EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}") from error
        delivery.entry = entry
        self._submit(Insert(StoredRow(entry.number, message_id, data, now, now + age, entry.is_marked)))
        return delivery

    def withdraw(self, delivery: Delivery) -> bool:
        """Take a message back that is still being stored; False: it is accepted."""
        entry = delivery.entry if isinstance(delivery, StoredDelivery) else None
        if entry is None or entry.state is not StoredState.STORING:
            return False
        self._remove(entry)
        return True

    def received(self, messages: Iterable[Any]) -> None:
        """Settle the messages that these acknowledge."""
        if self._acknowledgement is None:
            return
        for message in messages:
            try:
                message_id = self._acknowledgement.acknowledged_by(message)
                entry = None if message_id is None else self._queue.acknowledged(message_id)
            except USER_ERRORS as error:
                self._report(error, "acknowledged_by", _IS_NEWS)
                continue
            if entry is not None:
                self._submit(Delete(entry.number))
                entry.ticket.resolve()

    # --- calls of the sender ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a new connection, which gets all messages that are not settled."""
        self._is_up = True
        self._mark()

    def peek(self) -> Data | None:
        """The next message that may be sent, which stays; None: there is none."""
        entry = self._queue.next
        return None if entry is None or not entry.is_marked else entry.data

    def taken(self) -> None:
        """Note that the message returned by `peek` was written to the connection."""
        entry = self._queue.next
        if entry is not None:
            self._queue.taken(entry)
            if entry.ticket.earlier_unknown is None:
                entry.ticket.earlier_unknown = DeliveryUnknown(
                    "this message was sent, but not settled: it may or may not have arrived"
                )

    def flushed(self) -> None:
        """Note that the kernel has all that was written: without acknowledgements, these messages are settled."""
        if self._acknowledgement is None:
            for entry in self._queue.sent():
                self._remove(entry)
                entry.ticket.resolve()

    def connection_ended(self) -> None:
        """Note that the connection is gone: what it did not settle is sent again on the next one."""
        self._is_up = False
        self._queue.rewind()
        if self._writer is not None:
            self._expire()
        self.stopped()

    def stopped(self) -> None:
        """Release the callers that wait, if the owner has stopped the client and nothing is left of the connection."""
        if self._refusal() is not None and not self._is_up:
            self._keep()

    # --- settling -----------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        self._mark()
        self.stopped()
        self._flush()
        self._watch_age()

    def _mark(self) -> None:
        last = self._queue.to_mark
        if last is not None and self._is_up and not self._is_marking and self._writer is not None:
            self._is_marking = True
            self._submit(Mark(last.number))

    def _remove(self, entry: StoredEntry[StoredDelivery]) -> None:
        if self._queue.remove(entry):
            self._submit(Delete(entry.number))

    def _keep(self) -> None:
        kept = MessageKept(
            "the client was closed or disconnected before this message was settled: it is kept in "
            f"{self._outbox.path}, and sent on the next connection"
        )
        for entry in self._queue.entries:
            if entry.ticket.is_stored:
                entry.ticket.resolve(kept)

    def _expire(self) -> None:
        self._expiry = None
        late = self._queue.expired(asyncio.get_running_loop().time())
        for entry in late:
            self._submit(Delete(entry.number))
        deliveries = [entry.ticket for entry in late]
        age = f"{self._outbox.age:g} s of the durable outbox (age=)"
        unsent = [delivery for delivery in deliveries if delivery.earlier_unknown is None]
        self._settle(unsent, MessageExpired(f"this message could not be sent within the {age}"))
        unknown = DeliveryUnknown(
            f"this message was sent, but not settled within the {age}: it may or may not have arrived"
        )
        for delivery in deliveries:
            self._settle([delivery] if delivery.earlier_unknown is not None else [], unknown)
        self._watch_age()

    def _watch_age(self, *, ends: bool = False) -> None:
        due = self._queue.next_expiry()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if due is not None and due != float("inf") and not ends and self._writer is not None:
            self._expiry = asyncio.get_running_loop().call_at(due, self._expire)


def _id_of(acknowledgement: Acknowledgement, message: Any) -> MessageId | None:
    try:
        value = acknowledgement.id_of(message)
    except USER_ERRORS as error:
        raise EncodeError(
            f"id_of= of the protocol's acknowledges= raised {type(error).__name__} for a {type(message).__name__}: "
            "it must return None for a message without an id"
        ) from error
    return _check_id(value)


def _check_id(value: object) -> MessageId | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeError:
            raise EncodeError("the id of this message (acknowledges=) is no text in Unicode") from None
        return value
    if not isinstance(value, int) or not -_MAX_INT <= value < _MAX_INT:
        raise EncodeError(
            f"the id of a message (acknowledges=) must be a str, an int of 64 bits or None, not {type(value).__name__}"
        )
    return value
