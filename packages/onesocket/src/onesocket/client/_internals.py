"""The parts of a client that `onesocket.sharing` uses: not part of the public interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..protocols._protocol import Protocol
from ._delivery import Delivery
from ._fan_out import FanOut
from ._gap import Gap
from ._options import Options
from ._queue import Overflow
from ._runner import Runner
from ._sender import FrameSource, Sender
from ._subscription import Predicate, Subscription


class ClientInternals:
    """A view of the parts of one client."""

    def __init__(self, options: Options, fanout: FanOut, sender: Sender, runner: Runner) -> None:
        self._options = options
        self._fanout = fanout
        self._sender = sender
        self._runner = runner

    def __repr__(self) -> str:
        return f"<ClientInternals {self._options.protocol!r}>"

    @property
    def options(self) -> Options:
        """The checked options of this client."""
        return self._options

    @property
    def protocol(self) -> Protocol:
        """What the frames of this client mean."""
        return self._options.protocol

    def wrap_protocol(self, wrap: Callable[[Protocol], Protocol]) -> None:
        """Put another protocol around its own, before the client is used."""
        object.__setattr__(self._options, "protocol", wrap(self._options.protocol))

    def tap(self, many: Callable[[list[Any]], object], gap: Callable[[Gap], object]) -> None:
        """Have what comes as it's read, several messages at a time, and gap markers."""
        self._fanout.tap(many, gap)

    def set_source(self, source: FrameSource) -> None:
        """Have this source's frames sent on every connection, as they are, before messages."""
        self._sender.set_source(source)

    def ask_source(self) -> None:
        """The source has changed: send its frames behind the messages that were accepted before."""
        self._sender.ask_source()

    def answers(self, where: Predicate) -> Subscription[Any]:
        """A stream of the messages for which this is true, and of nothing that came before the call."""
        return self._fanout.subscribe(
            None, where, limit=1024, overflow=Overflow.FAIL, gaps=True, raise_on_failure=True, from_now=True
        )

    def withdraw(self, delivery: Delivery) -> bool:
        """Don't send it, if it still waits. False: it's on its way, or done."""
        return self._sender.withdraw(delivery)

    def descriptors(self) -> list[int]:
        """The file descriptors behind its connection; it can only look, as the loop isn't running."""
        # Connections keep these to themselves, rightly: this looks behind the back of one whose loop is dead.
        dialler: Any = getattr(getattr(self._runner.attempt, "connection", None), "_dialler", None)
        fileno: Callable[[], int] | None = getattr(getattr(dialler, "_socket", None), "fileno", None)
        return [] if fileno is None or fileno() < 0 else [fileno()]
