"""A process that uses the connection of another: its end of the Unix socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..._forking import FORK_LOCK
from ...errors import EncodeError, ForeignUser, IpcError, OnesocketError, OwnerSilent
from ...wire._handshake import Data
from .._host_options import Own
from ._frame_stream import FrameStream
from ._ipc_frames import (
    Answer,
    Challenge,
    FeedPosition,
    GapNotice,
    MessageBatch,
    OwnerHeartbeat,
    Rejection,
    Results,
    SendMessages,
    Shutdown,
    SnapshotAnswer,
    StatusUpdate,
    SubscriptionRefusal,
    ToOwner,
    Welcome,
    decode_owner_frame,
    encode_ipc_frame,
    split_by_size,
)
from ._join_credentials import JoinCredentials
from ._runtime_paths import RuntimePaths

_READ_BYTES: Final = 2**18
"""Bytes of one read: as much as fits into the socket."""
_CONNECT_RETRY_DELAY: Final = 0.02
"""Seconds until the next try, when more processes wait for the owner than its queue has room for."""


@dataclass(frozen=True, slots=True)
class OwnerDisconnected:
    """The owner's end of the socket is closed."""

    in_order: bool
    leaves_lock: bool
    """True if another process is to be the next owner."""
    error: IpcError | None
    """The invalid frame for which this process has closed it."""


@dataclass(slots=True)
class FeedPlace:
    """Place of this process in the feed of its last owner; each role moves it on."""

    ownership_id: int = 0
    """0: this process had no role yet."""
    position: FeedPosition = field(default_factory=FeedPosition)
    epoch: int = 0
    """The newest epoch that this process knows, of any owner."""


@dataclass(frozen=True, slots=True)
class FollowerAttached:
    """The owner has accepted this process."""

    welcome: Welcome
    goes_on: bool
    """True if its messages go on where they ended: with the same owner, at the place of this process."""


FollowerEvent: TypeAlias = (
    FollowerAttached
    | MessageBatch
    | GapNotice
    | StatusUpdate
    | Results
    | Answer
    | OwnerHeartbeat
    | SubscriptionRefusal
    | SnapshotAnswer
    | OwnerDisconnected
)
"""Frames that are passed on as they are, and the end."""


class Follower(FrameStream):
    """Role of a process that uses another's connection, from `attach` on."""

    def __init__(
        self,
        credentials: JoinCredentials,
        emit: Callable[[FollowerEvent], object],
        place: FeedPlace,
        own: Own = Own.ALLOW,
        *,
        goes_on: bool = True,
    ) -> None:
        super().__init__(_READ_BYTES)
        self._credentials = credentials
        self._place = place
        self._own = own
        self._goes_on = goes_on
        """Goes on at its place with the same owner, instead of with the newest messages."""
        self._emit = emit
        self._welcomed: asyncio.Future[Welcome] = self._loop.create_future()
        self._welcomed.add_done_callback(_retrieve_exception)
        self._is_attached = False
        self._in_order = False
        self._leaves_lock = False
        self.heard_at = 0.0
        """Time of the owner's last sign of life, by the loop's clock."""

    def __repr__(self) -> str:
        state = "over" if self.is_over else "attached" if self._is_attached else "attaching"
        return f"<Follower {state} owner={self.peer_pid}>"

    async def attach(self, paths: RuntimePaths, timeout: float) -> Welcome:
        """Connect to the owner. Raises OSError (no process listens), `OwnerSilent`, or the owner's refusal."""
        try:
            async with asyncio.timeout(timeout):
                with FORK_LOCK:
                    sock = self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.settimeout(0)
                    while not _try_connect(sock, paths):  # noqa: ASYNC110 - the kernel has no event for it
                        await asyncio.sleep(_CONNECT_RETRY_DELAY)
                    await self._loop.create_unix_connection(lambda: self, sock=sock)
                except BaseException:
                    sock.close()
                    raise
                return await self._welcomed
        except TimeoutError:
            if self._is_attached:  # it has answered in time, and this process stood still
                return self._welcomed.result()
            self.abort()
            raise OwnerSilent.of(self.peer_pid) from None
        except BaseException:
            self.abort()
            raise

    # --- the role ---------------------------------------------------------------------------------------------------

    def submit(self, frame: ToOwner) -> None:
        """Send a frame to the owner. A message that can't be sent to another process gets the error as its result."""
        if not isinstance(frame, SendMessages):
            self.send_frame(frame)
            return
        portions = split_by_size(frame.messages, len)
        first = frame.first
        for portion in portions:
            self._send_portion(first, portion)
            first += len(portion)

    def _send_portion(self, first: int, portion: list[Data]) -> None:
        try:
            self.write_now(encode_ipc_frame(SendMessages(first, portion)))  # they were gathered over a turn already
        except (IpcError, EncodeError) as error:
            if len(portion) > 1:
                for number, message in enumerate(portion, first):  # the error is that of one message
                    self._send_portion(number, [message])
            else:
                self._loop.call_soon(self._emit, Results([(first, None, error)]))

    def descriptors(self) -> Iterable[int]:
        """The socket, from its creation on."""
        if self.descriptor is not None:
            yield self.descriptor

    def leave(self) -> None:
        """End the role; nothing is emitted any more."""
        if not self.is_over:
            self.close()

    # --- from the owner ---------------------------------------------------------------------------------------------

    def on_foreign_user(self, error: ForeignUser) -> None:
        """Fail `attach`."""
        self._fail_attach(error)

    def on_frame(self, body: bytes | bytearray) -> None:
        """Handle one frame of the owner."""
        frame = decode_owner_frame(body)
        if not self._is_attached:
            if not self._welcomed.done():
                self._on_introduction(frame)
            return
        match frame:
            case MessageBatch(messages):
                position = self._place.position
                self._place.position = FeedPosition(position.messages + len(messages), position.gaps)
                self._emit(frame)
            case GapNotice(_, position):
                self._place.position = position
                self._emit(frame)
            case OwnerHeartbeat(has_preferrer=has_preferrer):
                self._leaves_lock = has_preferrer and self._own is not Own.PREFER
                self._emit(frame)
            case StatusUpdate() | Results() | Answer() | SubscriptionRefusal() | SnapshotAnswer():
                self._emit(frame)
            case Shutdown(leaves_lock):
                self._in_order = True
                self._leaves_lock = leaves_lock
            case _:
                raise IpcError("the owner of the connection introduced itself twice")

    def buffer_updated(self, nbytes: int) -> None:
        """Note the sign of life, and handle the bytes of one read."""
        self.heard_at = self._loop.time()
        super().buffer_updated(nbytes)

    def on_end(self, error: IpcError | None) -> None:
        """Fail `attach`, or emit the end."""
        self._fail_attach(error or ConnectionResetError("the process that held the connection closed the socket"))
        if self._is_attached:
            self._emit(OwnerDisconnected(self._in_order, self._leaves_lock, error))

    def _on_introduction(self, frame: object) -> None:
        match frame:
            case Challenge():
                # An owner of another release gets its answer, too: it has to be able to report the reason.
                place = self._place
                position = place.position if self._goes_on and place.ownership_id else None
                hello = self._credentials.hello(frame.nonce, self._own, place.ownership_id, position, place.epoch)
                self.send_frame(hello)
                try:
                    self._credentials.check_challenge(frame, self.peer_pid)
                except OnesocketError as error:
                    self._fail_attach(error)
            case Rejection(error):
                self._fail_attach(error)
            case Welcome():
                self._is_attached = True
                self._welcomed.set_result(frame)
                goes_on = self._goes_on and self._place.ownership_id == frame.ownership_id
                self._place.ownership_id, self._place.position = frame.ownership_id, frame.position
                self._emit(FollowerAttached(frame, goes_on=goes_on))
            case _:
                raise IpcError("the owner of the connection did not introduce itself")

    def _fail_attach(self, error: Exception) -> None:
        if not self._welcomed.done():
            self._welcomed.set_exception(error)


def _try_connect(sock: socket.socket, paths: RuntimePaths) -> bool:
    """Connect to the owner; False: its queue is full. A Unix socket is connected at once or not at all.

    Not the loop's own `sock_connect`, which takes a full queue for a connection that is under way.
    """
    with paths.opened() as directory:
        try:
            sock.connect(paths.socket_address(directory))
        except BlockingIOError:
            return False
    return True


def _retrieve_exception(future: asyncio.Future[Welcome]) -> None:
    if not future.cancelled():
        future.exception()  # the caller of `attach` may be gone
