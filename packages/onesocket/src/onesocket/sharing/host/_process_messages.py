"""Messages of this process, for whichever process owns the connection."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any, Final, cast

from ...client._delivery import Delivery
from ...client._user_code import encode_message
from ...errors import DeliveryUnknown, EncodeError, ManuallyDisconnected, OnesocketError
from ...lifecycle._outbox import OutboxLimits
from ...lifecycle._states import State
from ...protocols._protocol import Protocol
from ...wire._handshake import Data
from .._client_upstream import CANCELLED_IN_FLIGHT
from ._ipc_frames import Cancellation, SendMessages
from ._local_status import LocalStatus
from ._membership import Membership
from ._process_outbox import EntryState, OutboxEntry, ProcessOutbox

_LONGEST_TURN: Final = 1.0
"""Seconds after which what was due in the next turn of the loop is due again: Ctrl-C may have interrupted it."""


class ProcessMessages:
    """Submits the messages of a `ProcessOutbox` to the present role, and knows when their fates are due."""

    def __init__(self, protocol: Protocol, limits: OutboxLimits, membership: Membership, status: LocalStatus) -> None:
        self.outbox = ProcessOutbox(limits)
        self._protocol = protocol
        self._membership = membership
        self._status = status
        self._flush_due = -math.inf
        """Time at which `flush` was scheduled; -inf: it isn't."""
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<ProcessMessages {self.outbox!r}>"

    async def settle(self, entry: OutboxEntry) -> None:
        """Wait for the fate of a message. Raises the error that prevented the delivery.

        Cancelled, it withdraws the message; where it may have been sent, `DeliveryUnknown` takes the place of that.
        """
        if not entry.done:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()

            def wake(_: Delivery) -> None:
                if not future.done():
                    future.set_result(None)

            entry.on_done = wake
            try:
                await future
            except asyncio.CancelledError:
                # The entry is asked, not the future: its result may have come in this turn, after the cancellation.
                if self.outbox.withdraw(entry, CANCELLED_IN_FLIGHT, loop.time()):
                    future = loop.create_future()
                    await self._recall(entry, future)
                if entry.state is EntryState.WITHDRAWN:
                    raise
        if entry.error is not None:
            raise entry.error

    async def _recall(self, entry: OutboxEntry, future: asyncio.Future[None]) -> None:
        """Ask the owner to withdraw a cancelled sender's message, and wait for its answer, for a moment."""
        is_asked = self._submit_recall(entry.number)
        self._watch_age()
        with contextlib.suppress(asyncio.CancelledError):  # once more: it waits no longer
            if is_asked and entry.state is EntryState.RECALLED:
                await future
        if entry.state is EntryState.RECALLED:
            self.outbox.withdraw(entry, CANCELLED_IN_FLIGHT, asyncio.get_running_loop().time())
        if entry.state is EntryState.SETTLED and entry.error is None:
            entry.error = DeliveryUnknown(CANCELLED_IN_FLIGHT)  # a cancellation ends its task, one way or the other

    def _submit_recall(self, number: int) -> bool:
        role = self._membership.usable_role
        if role is not None:
            role.submit(Cancellation(number))
        return role is not None

    def post(self, message: Any, *, resend: bool) -> OutboxEntry:
        """Accept a message. Raises the error that prevents that."""
        data = encode_message(self._protocol, message)
        if isinstance(data, str) and not data.isascii():
            try:
                data.encode()
            except UnicodeError as error:
                raise EncodeError(f"this text can't be sent as UTF-8: {error.args[-1]}") from error
        state = self._status.present.state
        if state is State.STOPPED:
            raise ManuallyDisconnected
        is_up = self._membership.usable_role is not None and state is State.CONNECTED
        now = asyncio.get_running_loop().time()
        entry = self.outbox.accept(data, now, resend=resend, room=is_up)
        if self.outbox.is_idle:  # else it goes with the others of this turn: a write costs more than a message
            self.flush()
        else:
            self.flush_soon()
        if self._expiry_timer is None:
            self._watch_age()
        return entry

    def flush_soon(self) -> None:
        """Call `flush` at the end of this turn of the loop."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - self._flush_due > _LONGEST_TURN:
            self._flush_due = now
            loop.call_soon(self._on_turn_end)

    def _on_turn_end(self) -> None:
        self._flush_due = -math.inf
        self.flush()

    def flush(self, *, everything: bool = False) -> None:
        """Hand over the messages that an owner takes now, or everything: a request is to follow."""
        role = self._membership.usable_role
        if role is None or not self.outbox.has_waiting:
            return
        run: list[Data] = []
        first = 0
        for entry in self.outbox.hand_over(everything=everything):
            if run and entry.number != first + len(run):
                role.submit(SendMessages(first, run))
                run = []
            if not run:
                first = entry.number
            run.append(cast("Data", entry.data))
        if run:
            role.submit(SendMessages(first, run))

    def _watch_age(self) -> None:
        due, timer = self.outbox.next_due(), self._expiry_timer
        if due is None or due == float("inf") or (timer is not None and timer.when() <= due):
            return
        if timer is not None:
            timer.cancel()
        self._expiry_timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self._expiry_timer = None
        for number in self.outbox.expire(asyncio.get_running_loop().time()):
            self._submit_recall(number)
        self._watch_age()

    # --- the end ----------------------------------------------------------------------------------------------------

    def note_results(self) -> None:
        """Go on after results of an owner: there may be room for more messages, or some to be sent again."""
        if self.outbox.has_waiting:
            self.flush_soon()
        if self._drained is not None and not len(self.outbox) and not self._drained.done():
            self._drained.set_result(None)

    def on_role_lost(self, *, in_order: bool) -> None:
        """Keep or settle the messages that the last owner had; `in_order`: it did not send them."""
        self.outbox.owner_gone(in_order=in_order)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)  # a process that leaves has no other owner

    async def drain(self, timeout: float) -> None:
        """Wait until a connection that is up has sent all messages, or its owner is gone."""
        if len(self.outbox) and self._status.present.state is State.CONNECTED:
            self._drained = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._drained], timeout=timeout)

    def close(self, error: OnesocketError, *, was_owner: bool) -> None:
        """Settle all messages. `was_owner`: this process had the connection, and has closed it in order."""
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        if was_owner:
            self.outbox.owner_gone(in_order=True)
        self.outbox.reject(error)
