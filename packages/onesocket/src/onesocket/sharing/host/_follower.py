"""A process that uses the connection of another: its end of the Unix socket."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ..._forking import FORK_LOCK
from ...errors import OnesocketError
from ...lifecycle._effects import Outcome
from ...wire._handshake import size_of
from .._option_digests import option_proofs
from ._errors import OwnerLost, OwnerSilent, VersionMismatch, WireError
from ._follower_connection import secret_proof
from ._frame_stream import FrameStream
from ._ipc_frames import (
    MAX_FRAME_BYTES,
    PROTOCOL_VERSION,
    Cancellation,
    Challenge,
    ControlRequest,
    GapMarker,
    Heartbeat,
    Hello,
    MessageBatch,
    OutgoingMessages,
    Rejection,
    Results,
    SerializedError,
    SharedStatus,
    Shutdown,
    StepDown,
    SubscriptionUpdate,
    Welcome,
    decode_owner_frame,
)
from ._process_outbox import OutboxEntry
from ._role import RoleEvents
from ._runtime_paths import RuntimePaths
from ._serialization import deserialize_error, deserialize_gap

_CHUNK_BYTES: Final = MAX_FRAME_BYTES // 8
_READ_BYTES: Final = 2**18
"""Bytes of one read: as much as fits into the socket."""
# Questions and messages have numbers of their own ranges: a result says which it is for.
_FIRST_REQUEST_NUMBER: Final = 1 << 48
_NO_DIGESTS: Final[Mapping[str, str]] = MappingProxyType({})
_CONNECT_RETRY_DELAY: Final = 0.02
"""Seconds until the next try, when more processes wait for the owner than its queue has room for."""


class Follower(FrameStream):
    """A `Role`: made by `attach`, and used once `welcome` is there."""

    def __init__(
        self, secret: bytes, release: str, events: RoleEvents, digests: Mapping[str, str] = _NO_DIGESTS
    ) -> None:
        super().__init__(_READ_BYTES)
        self._secret = secret
        self._digests = digests
        self._release = release
        self._events = events
        self._numbers = itertools.count(_FIRST_REQUEST_NUMBER)
        self._requests: dict[int, asyncio.Future[Outcome | None]] = {}
        self._welcomed: asyncio.Future[Welcome] = self._loop.create_future()
        self._welcomed.add_done_callback(_retrieve_exception)
        self._in_order = False
        self.welcome: Welcome | None = None
        self.heard_at = 0.0
        """When the owner gave its last sign of life, by the loop's clock."""

    def __repr__(self) -> str:
        state = "over" if self.is_over else "attached" if self.welcome is not None else "attaching"
        return f"<Follower {state} owner={self.peer_pid} questions={len(self._requests)}>"

    async def attach(self, place: RuntimePaths, timeout: float) -> None:
        """Get in. Raises OSError (nobody listens), `OwnerSilent`, or why not."""
        try:
            async with asyncio.timeout(timeout):
                with FORK_LOCK:
                    sock = self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.settimeout(0)
                    while not _try_connect(sock, place):  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(_CONNECT_RETRY_DELAY)
                    await self._loop.create_unix_connection(lambda: self, sock=sock)
                except BaseException:
                    sock.close()
                    raise
                await self._welcomed
        except TimeoutError:
            self.abort()
            raise OwnerSilent.of(self.peer_pid) from None
        except BaseException:
            self.abort()
            raise

    @property
    def _who(self) -> str:
        return f" (pid {self.peer_pid})" if self.peer_pid else ""

    # --- the role ---------------------------------------------------------------------------------------------------

    def post(self, entries: list[OutboxEntry]) -> None:
        """Hand these to the owner."""
        portion: list[tuple[int, str | bytes]] = []
        room = _CHUNK_BYTES
        for entry in entries:
            size = size_of(entry.data)
            if size > MAX_FRAME_BYTES - 64:
                text = f"{size} bytes are too much to hand to another process ({MAX_FRAME_BYTES} at most)"
                self._loop.call_soon(self._events.on_result, entry.number, WireError(text))
                continue
            if portion and size > room:
                self._hand(portion)
                portion, room = [], _CHUNK_BYTES
            portion.append((entry.number, entry.data))
            room -= size
        if portion:
            self._hand(portion)

    def _hand(self, portion: list[tuple[int, str | bytes]]) -> None:
        try:
            self.tell(OutgoingMessages(portion))
        except WireError as error:
            if len(portion) == 1:
                self._loop.call_soon(self._events.on_result, portion[0][0], error)
                return
            for one in portion:  # only its own sender is to hear of what can't be told
                self._hand([one])

    def withdraw(self, entry: OutboxEntry) -> None:
        """Tell the owner not to."""
        self.tell(Cancellation(entry.number))

    async def ask(self, verb: str) -> Outcome | None:
        """Ask the owner."""
        if self.is_over:
            raise OwnerLost("the process that held the connection is gone")
        number = next(self._numbers)
        future: asyncio.Future[Outcome | None] = self._loop.create_future()
        self._requests[number] = future
        self.tell(ControlRequest(number, verb))
        try:
            return await future
        except asyncio.CancelledError:
            if self._requests.pop(number, None) is not None:
                self.tell(Cancellation(number))
            raise

    def update_subscriptions(self, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """Tell the owner."""
        added, removed = list(add), list(remove)
        if added or removed:
            self.tell(SubscriptionUpdate(added, removed))

    def request_step_down(self) -> None:
        """Tell an owner that was silent for too long to step down; the owner reads this when it goes on."""
        self.tell(StepDown())

    def descriptors(self) -> Iterable[int]:
        """The socket, from its first moment on."""
        if self.descriptor is not None:
            yield self.descriptor

    def leave(self) -> None:
        """We don't follow any more: say no further word."""
        self._fail_requests(OwnerLost("this process let go of the connection"))
        if not self.is_over:
            self.close()

    # --- from the owner ---------------------------------------------------------------------------------------------

    def refused(self, error: OnesocketError) -> None:
        """Another user's process listens there."""
        self._give_up(error)

    def on_frame(self, body: bytes) -> None:
        """One frame."""
        frame = decode_owner_frame(body)
        if self.welcome is None and not self._welcomed.done():
            self._introduced(frame)
            return
        match frame:
            case MessageBatch(messages):
                self._events.on_messages(messages)
            case GapMarker():
                self._events.on_gap(deserialize_gap(frame))
            case SharedStatus():
                self._events.on_status(frame)
            case Results(of):
                for number, what in of:
                    self._result(number, what)
            case Shutdown():
                self._in_order = True
            case Heartbeat():
                pass
            case _:
                raise WireError("the owner of the connection introduced itself twice")

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came, whatever they say."""
        self.heard_at = self._loop.time()
        super().buffer_updated(nbytes)

    def on_end(self, error: WireError | None) -> None:
        """The owner is gone."""
        self._give_up(error or ConnectionResetError("the process that held the connection hung up"))
        self._fail_requests(OwnerLost("the process that held the connection is gone"))
        if self.welcome is not None:
            self._events.on_owner_lost(self, in_order=self._in_order, error=error)

    def _introduced(self, frame: object) -> None:
        match frame:
            case Challenge(protocol, release, nonce):
                # An owner of another release is greeted all the same: it shall be able to say why not.
                options = option_proofs(self._digests, self._secret, nonce)
                self.tell(Hello(PROTOCOL_VERSION, self._release, secret_proof(self._secret, nonce), options))
                if protocol != PROTOCOL_VERSION:
                    self._give_up(
                        VersionMismatch(
                            f"the process that holds the connection{self._who} runs onesocket {release[:40]} with "
                            f"sharing protocol {protocol}, this one runs {self._release} with {PROTOCOL_VERSION}: "
                            "use one release for both",
                            ours=PROTOCOL_VERSION,
                            theirs=protocol,
                        )
                    )
            case Rejection(why):
                self._give_up(deserialize_error(why))
            case Welcome():
                self.welcome = frame
                self._welcomed.set_result(frame)
                self._events.on_status(frame.status)
            case _:
                raise WireError("the owner of the connection did not introduce itself")

    def _result(self, number: int, what: str | SerializedError) -> None:
        if number < _FIRST_REQUEST_NUMBER:
            self._events.on_result(number, deserialize_error(what) if isinstance(what, SerializedError) else None)
            return
        future = self._requests.pop(number, None)
        if future is None or future.done():
            return
        if isinstance(what, SerializedError):
            future.set_exception(deserialize_error(what))
        elif what and what not in Outcome.__members__:
            raise WireError("a process sent an outcome that there is not")
        else:
            future.set_result(Outcome[what] if what else None)

    def _give_up(self, error: Exception) -> None:
        if not self._welcomed.done():
            self._welcomed.set_exception(error)

    def _fail_requests(self, error: OnesocketError) -> None:
        questions, self._requests = self._requests, {}
        for future in questions.values():
            if not future.done():
                future.set_exception(error.copy())


def _try_connect(sock: socket.socket, place: RuntimePaths) -> bool:
    """Connect to the owner; False: its queue is full. A Unix socket is connected at once or not at all.

    Not the loop's own `sock_connect`, which takes a full queue for a connection that is under way.
    """
    with place.opened() as directory:
        try:
            sock.connect(place.socket_address(directory))
        except BlockingIOError:
            return False
    return True


def _retrieve_exception(future: asyncio.Future[Welcome]) -> None:
    if not future.cancelled():
        future.exception()  # perhaps nobody waits for it any more
