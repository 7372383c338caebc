"""An event loop in the main thread that a test runs step by step, and ends in one of several ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

import uvloop

from onesocket import SharedClient
from onesocket.sharing import _main_loop as main_loop

T = TypeVar("T")

EndsBy = Literal["asyncio.run", "shutdown_asyncgens", "close", "standstill"]
ENDINGS: Final[tuple[EndsBy, ...]] = ("asyncio.run", "shutdown_asyncgens", "close", "standstill")


class EndingLoop:
    """A context manager: `run` as often as you like, then `end`.

    `ends_by`: as `asyncio.run` ends; by `shutdown_asyncgens`, with the tasks left alone; by `close` alone; or it
    only doesn't run any more ("standstill"), and goes on when the test wants it.
    """

    def __init__(self, ends_by: EndsBy, monkeypatch: Any, *, on_uvloop: bool = False) -> None:
        self._ends_by = ends_by
        self._monkeypatch = monkeypatch
        self.clients: list[SharedClient[Any]] = []
        """Clients of the loop: referred to, so that they don't leave; closed at last, if the loop isn't."""
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if on_uvloop else None)

    @property
    def is_in_order(self) -> bool:
        """True if the connection is closed in order, with what was sent: else it's reset, as in any loss."""
        return self._ends_by in ("asyncio.run", "shutdown_asyncgens")

    def __enter__(self) -> Self:
        # A loop that doesn't run between two steps has not ended.
        self._monkeypatch.setattr(main_loop, "STANDSTILL", 1e9)
        self._loop = self._runner.get_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is still open."""
        if not self._loop.is_closed():
            for client in self.clients:
                self.run(client.aclose())
            self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop."""
        return self._runner.run(work)

    def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in another thread while the loop runs."""
        return self.run(asyncio.to_thread(function, *args))

    def end(self) -> None:
        """End the loop."""
        loop = self._loop
        match self._ends_by:
            case "asyncio.run":
                self._runner.close()
            case "shutdown_asyncgens":
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()
            case "close":
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
            case "standstill":
                self._monkeypatch.setattr(main_loop, "STANDSTILL", 0.0)
