"""The event loop, and with it the process, that an object belongs to: the first that used it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .. import _forking as forking
from ..errors import ForkedCopy, WrongEventLoop


def is_collected(kind: object, loop: asyncio.AbstractEventLoop | None) -> bool:
    """True if the collector raises this in a coroutine whose event loop is closed, so that nothing can be awaited."""
    return kind is GeneratorExit and (loop is None or loop.is_closed())


class Affinity:
    """Raises a typed error wherever the object is used on another loop, or in a forked child of its process.

    `noun` is what the errors call it; `forked` is called in a child, in the fork itself, if it was used before.
    """

    def __init__(self, noun: str, forked: Callable[[], None] | None = None) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_inherited = False
        """True in a forked child of the process that it belongs to."""
        self._noun = noun
        self._forked = forked

    def __repr__(self) -> str:
        where = "inherited" if self.is_inherited else "used" if self.loop is not None else "unused"
        return f"<Affinity {self._noun} {where}>"

    def check(self) -> asyncio.AbstractEventLoop:
        """The running loop, which is its own from the first call on. Raises `WrongEventLoop` and `ForkedCopy`."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            self.check_process()
            raise WrongEventLoop("this needs a running event loop; call it from a coroutine or a callback") from None
        if self.loop is not running or self.is_inherited:
            self._adopt(running)
        return running

    @property
    def is_here(self) -> bool:
        """True if its loop runs in this thread."""
        try:
            return self.loop is asyncio.get_running_loop()
        except RuntimeError:
            return False

    def check_process(self) -> None:
        """Raise `ForkedCopy` in a forked child."""
        if self.is_inherited:
            raise self.error()

    def error(self) -> ForkedCopy:
        """The error raised for its users in a forked child."""
        return ForkedCopy(
            f"this {self._noun} was used before the fork and belongs to the parent process; make a new one in this one"
        )

    def call_on_loop(self, call: Callable[..., object], *args: object) -> None:
        """Call `call` on the loop: at once if it runs in this thread, else soon; callable in any thread."""
        loop = self.loop
        try:
            here = loop is None or asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here or loop is None or loop.is_closed():
            call(*args)
        else:
            loop.call_soon_threadsafe(call, *args)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Call `call` in the next turn of the loop, even if the loop isn't running yet."""
        loop = self.loop if self.loop is not None else self.check()
        if not loop.is_closed():
            loop.call_soon(call)

    def forked(self) -> None:
        """Note that this process is a forked child."""
        self.is_inherited = True
        if self._forked is not None:
            self._forked()

    def _adopt(self, running: asyncio.AbstractEventLoop) -> None:
        self.check_process()
        if self.loop is not None:
            raise WrongEventLoop(
                f"this {self._noun} belongs to another event loop; make one {self._noun} for each loop"
            )
        self.loop = running
        forking.register_fork_aware(self)
