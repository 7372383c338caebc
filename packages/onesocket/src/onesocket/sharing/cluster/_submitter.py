"""Submits what the processes of a host ask for to the leader of an epoch, each payload until it is certain."""

from __future__ import annotations

import asyncio

from ...errors import EncodeError, EngineFull, EngineUnavailable, Fenced, IpcError, MailboxFull
from ..host._ipc_frames import Ask, Results, SendMessages, ToOwner, encode_ipc_frame
from ._byte_queue import ByteQueue
from ._coordinator import Coordinator, Position
from ._leadership import MAX_BATCH
from ._relay import Relay
from ._retrying import Backoff, set_within


class Submitter:
    """The way of a relay's frames into the mailbox of one leader after the other."""

    def __init__(self, coordinator: Coordinator, relay: Relay, ttl: float) -> None:
        """`ttl`: of leases, seconds; a sign of life is submitted as often."""
        self._coordinator = coordinator
        self._relay = relay
        self._ttl = ttl
        self._epoch = 0
        self._is_led = False
        self._hello: bytes = b""
        """Introduces this member to the leader; submitted before all else."""
        self._queue = ByteQueue()
        """Frames that were taken from the relay."""
        self._is_first = False
        """True if nothing of those was submitted."""
        self._submitting: bytes | None = None
        """The newest payload, until the engine has it for certain."""
        self._was_refused = True
        """True if the engine certainly doesn't have it."""
        self._submitted = 0
        """Its number."""
        self._wake = asyncio.Event()
        self._epoch_over = asyncio.Event()
        self._idle: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Submitter epoch={self._epoch} submitted={self._submitted}>"

    def wake(self) -> None:
        """Submit what the relay has."""
        self._wake.set()

    def idle(self) -> asyncio.Future[None]:
        """Done once the engine has everything that was to be submitted."""
        self._idle = asyncio.get_running_loop().create_future()
        self._wake.set()
        return self._idle

    def begin_epoch(self, epoch: int) -> None:
        """Submit to the leader of this epoch from now on; `introduce` follows."""
        if epoch != self._epoch:
            self._submitted = 0
            self._relay.is_subscribed = False
        self._epoch, self._is_led = epoch, True
        self._epoch_over.clear()

    def introduce(self, hello: bytes) -> None:
        """Submit this frame next, and what the relay takes from then on."""
        self._hello = hello
        self._queue = ByteQueue()
        self._relay.begin_epoch()
        self._wake.set()

    def end_epoch(self) -> None:
        """Submit nothing more to this leader. What it certainly does not have goes back to the relay."""
        self._is_led = False
        if self._submitting is not None and self._was_refused and self._is_first:
            self._relay.put_back()
        self._submitting = None

    def note_end(self) -> None:
        """Go on, as the relay knows of the end."""
        self._epoch_over.set()
        self._wake.set()

    async def run(self) -> None:
        """Submit, for as long as this member follows."""
        most = min(self._coordinator.max_payload, MAX_BATCH)
        while True:
            if not self._is_led:
                self._note_idle()
                await self._awake(None)
                continue
            if self._submitting is None:
                self._fill_queue()
                if not self._queue:
                    self._note_idle()
                    if not await self._awake(self._ttl):
                        self._queue.put(encode_ipc_frame(self._relay.bounds()))  # a sign of life
                    continue
                self._submitting, self._was_refused = self._queue.take(most), True
                self._submitted += 1
            await self._submit(Position(self._epoch, self._submitted), self._submitting)

    def _note_idle(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _fill_queue(self) -> None:
        hello, self._hello = self._hello, b""
        if hello:
            self._queue.put(hello)
            self._is_first = False
        elif not self._queue:
            self._is_first = True
            for frame in self._relay.take_frames():
                self._encode(frame)

    def _encode(self, frame: ToOwner) -> None:
        """Add a frame to the queue; the error of an operation that can't be encoded is its result alone."""
        try:
            self._queue.put(encode_ipc_frame(frame))
        except (IpcError, EncodeError) as error:
            if isinstance(frame, SendMessages) and len(frame.messages) > 1:
                for number, message in enumerate(frame.messages, frame.first):
                    self._encode(SendMessages(number, [message]))
            elif isinstance(frame, SendMessages | Ask):
                number = frame.first if isinstance(frame, SendMessages) else frame.number
                self._relay.on_results(Results([(number, None, error)]))

    async def _submit(self, position: Position, payload: bytes) -> None:
        """Submit one payload, again and again while that may help."""
        backoff = Backoff()
        while self._submitting is payload and self._epoch == position.epoch:
            try:
                await self._coordinator.submit(position, payload)
            except MailboxFull:
                await backoff.wait()
            except (EngineUnavailable, EngineFull):
                self._was_refused = False
                await backoff.wait()
            except Fenced:
                await set_within(self._epoch_over, self._ttl)  # its end comes with the feed
            else:
                if self._submitting is payload:
                    self._submitting = None
                    self._is_first = False

    async def _awake(self, timeout: float | None) -> bool:
        """Wait until there may be something to do; False: the time is up."""
        self._wake.clear()
        return await set_within(self._wake, timeout)
