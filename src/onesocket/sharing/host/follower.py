"""A process that uses the connection of another: its end of the Unix socket."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from ...errors import OnesocketError
from ...forking import BARRIER
from ...lifecycle.effects import Outcome
from ...wire import size_of
from ..agreement import proofs_of
from .convey import error_of, gap_of
from .directory import Place
from .errors import OtherRelease, OwnerLost, OwnerSilent, WireError
from .frames import (
    MOST_BYTES,
    PROTOCOL,
    Ask,
    Batch,
    Beat,
    Challenge,
    Failure,
    Goodbye,
    Hello,
    LetGo,
    Missing,
    Post,
    Refused,
    Results,
    SharedStatus,
    Want,
    Welcome,
    Withdraw,
    read_as_follower,
)
from .ledger import Entry
from .peer import proof_of
from .role import RoleEvents
from .stream import Stream

_PORTION: Final = MOST_BYTES // 8
_MOST_AT_ONCE: Final = 2**18
"""Bytes of one read: as much as fits into the socket."""
# Questions and messages have numbers of their own ranges: a result says which it is for.
_FIRST_QUESTION: Final = 1 << 48
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_QUEUE_FULL: Final = 0.02
"""Seconds until the next try, when more processes wait for the owner than its queue has room for."""


class Follower(Stream):
    """A `Role`: made by `attach`, and used once `welcome` is there."""

    def __init__(self, secret: bytes, release: str, events: RoleEvents, digests: Mapping[str, str] = _NONE) -> None:
        super().__init__(_MOST_AT_ONCE)
        self._secret = secret
        self._digests = digests
        self._release = release
        self._events = events
        self._numbers = itertools.count(_FIRST_QUESTION)
        self._questions: dict[int, asyncio.Future[Outcome | None]] = {}
        self._welcomed: asyncio.Future[Welcome] = self._loop.create_future()
        self._welcomed.add_done_callback(_look_at)
        self._in_order = False
        self.welcome: Welcome | None = None
        self.heard_at = 0.0
        """When the owner gave its last sign of life, by the loop's clock."""

    def __repr__(self) -> str:
        state = "over" if self.is_over else "attached" if self.welcome is not None else "attaching"
        return f"<Follower {state} owner={self.peer_pid} questions={len(self._questions)}>"

    async def attach(self, place: Place, timeout: float) -> None:
        """Get in. Raises OSError (nobody listens), `OwnerSilent`, or why not."""
        try:
            async with asyncio.timeout(timeout):
                with BARRIER:
                    sock = self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.settimeout(0)
                    while not _connects(sock, place):  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(_QUEUE_FULL)
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

    def post(self, entries: list[Entry]) -> None:
        """Hand these to the owner."""
        portion: list[tuple[int, str | bytes]] = []
        room = _PORTION
        for entry in entries:
            size = size_of(entry.data)
            if size > MOST_BYTES - 64:
                text = f"{size} bytes are too much to hand to another process ({MOST_BYTES} at most)"
                self._loop.call_soon(self._events.settled, entry.number, WireError(text))
                continue
            if portion and size > room:
                self._hand(portion)
                portion, room = [], _PORTION
            portion.append((entry.number, entry.data))
            room -= size
        if portion:
            self._hand(portion)

    def _hand(self, portion: list[tuple[int, str | bytes]]) -> None:
        try:
            self.tell(Post(portion))
        except WireError as error:
            if len(portion) == 1:
                self._loop.call_soon(self._events.settled, portion[0][0], error)
                return
            for one in portion:  # only its own sender is to hear of what can't be told
                self._hand([one])

    def withdraw(self, entry: Entry) -> None:
        """Tell the owner not to."""
        self.tell(Withdraw(entry.number))

    async def ask(self, verb: str) -> Outcome | None:
        """Ask the owner."""
        if self.is_over:
            raise OwnerLost("the process that held the connection is gone")
        number = next(self._numbers)
        future: asyncio.Future[Outcome | None] = self._loop.create_future()
        self._questions[number] = future
        self.tell(Ask(number, verb))
        try:
            return await future
        except asyncio.CancelledError:
            if self._questions.pop(number, None) is not None:
                self.tell(Withdraw(number))
            raise

    def want(self, add: Iterable[Hashable], remove: Iterable[Hashable]) -> None:
        """Tell the owner."""
        added, removed = list(add), list(remove)
        if added or removed:
            self.tell(Want(added, removed))

    def tell_to_let_go(self) -> None:
        """It has been silent for too long; it will read this when it goes on."""
        self.tell(LetGo())

    def descriptors(self) -> Iterable[int]:
        """The socket, from its first moment on."""
        if self.descriptor is not None:
            yield self.descriptor

    def leave(self) -> None:
        """We don't follow any more: say no further word."""
        self._answer_all(OwnerLost("this process let go of the connection"))
        if not self.is_over:
            self.close()

    # --- from the owner ---------------------------------------------------------------------------------------------

    def refused(self, error: OnesocketError) -> None:
        """Another user's process listens there."""
        self._give_up(error)

    def frame(self, body: bytes) -> None:
        """One frame."""
        frame = read_as_follower(body)
        if self.welcome is None and not self._welcomed.done():
            self._introduced(frame)
            return
        match frame:
            case Batch(messages):
                self._events.came(messages)
            case Missing():
                self._events.missing(gap_of(frame))
            case SharedStatus():
                self._events.stands(frame)
            case Results(of):
                for number, what in of:
                    self._result(number, what)
            case Goodbye():
                self._in_order = True
            case Beat():
                pass
            case _:
                raise WireError("the owner of the connection introduced itself twice")

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came, whatever they say."""
        self.heard_at = self._loop.time()
        super().buffer_updated(nbytes)

    def over(self, error: WireError | None) -> None:
        """The owner is gone."""
        self._give_up(error or ConnectionResetError("the process that held the connection hung up"))
        self._answer_all(OwnerLost("the process that held the connection is gone"))
        if self.welcome is not None:
            self._events.lost(self, in_order=self._in_order, error=error)

    def _introduced(self, frame: object) -> None:
        match frame:
            case Challenge(protocol, release, nonce):
                # An owner of another release is greeted all the same: it shall be able to say why not.
                options = proofs_of(self._digests, self._secret, nonce)
                self.tell(Hello(PROTOCOL, self._release, proof_of(self._secret, nonce), options))
                if protocol != PROTOCOL:
                    self._give_up(
                        OtherRelease(
                            f"the process that holds the connection{self._who} runs onesocket {release[:40]} with "
                            f"sharing protocol {protocol}, this one runs {self._release} with {PROTOCOL}: "
                            "use one release for both",
                            ours=PROTOCOL,
                            theirs=protocol,
                        )
                    )
            case Refused(why):
                self._give_up(error_of(why))
            case Welcome():
                self.welcome = frame
                self._welcomed.set_result(frame)
                self._events.stands(frame.status)
            case _:
                raise WireError("the owner of the connection did not introduce itself")

    def _result(self, number: int, what: str | Failure) -> None:
        if number < _FIRST_QUESTION:
            self._events.settled(number, error_of(what) if isinstance(what, Failure) else None)
            return
        future = self._questions.pop(number, None)
        if future is None or future.done():
            return
        if isinstance(what, Failure):
            future.set_exception(error_of(what))
        elif what and what not in Outcome.__members__:
            raise WireError("a process sent an outcome that there is not")
        else:
            future.set_result(Outcome[what] if what else None)

    def _give_up(self, error: Exception) -> None:
        if not self._welcomed.done():
            self._welcomed.set_exception(error)

    def _answer_all(self, error: OnesocketError) -> None:
        questions, self._questions = self._questions, {}
        for future in questions.values():
            if not future.done():
                future.set_exception(error.copy())


def _connects(sock: socket.socket, place: Place) -> bool:
    """Connect to the owner; False: its queue is full. A Unix socket is connected at once or not at all.

    Not the loop's own `sock_connect`, which takes a full queue for a connection that is under way.
    """
    with place.opened() as directory:
        try:
            sock.connect(place.socket_address(directory))
        except BlockingIOError:
            return False
    return True


def _look_at(future: asyncio.Future[Welcome]) -> None:
    if not future.cancelled():
        future.exception()  # perhaps nobody waits for it any more
