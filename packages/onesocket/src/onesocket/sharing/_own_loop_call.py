"""Calls that run in the task of their caller, because the connection lives on the same loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import ClientClosed

T = TypeVar("T")


class OwnLoopCall:
    """One call, which the end of its client ends: by a cancellation that its caller doesn't see."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._cancelling = 0 if self._task is None else self._task.cancelling()
        self._ended: asyncio.Future[None] | None = None
        """Done once the call is over; None: it was not ended from outside."""
        self._reason = ""

    def __repr__(self) -> str:
        return f"<OwnLoopCall {'running' if self._ended is None else 'ending'}>"

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`. Ended meanwhile, it raises `ClientClosed`, or what `work` raises when it's cancelled too late.

        A caller that was cancelled itself stays so, whatever became of the work: its task, a time-out or a group of
        tasks waits for that.
        """
        try:
            result = await work
        except asyncio.CancelledError:
            if self._ended is None or self._is_caller_cancelled:
                raise
            raise ClientClosed(self._reason) from None
        except Exception as error:
            if self._is_caller_cancelled:
                raise asyncio.CancelledError from error
            raise
        else:
            if self._is_caller_cancelled:
                raise asyncio.CancelledError
            return result
        finally:
            if self._ended is not None:
                if self._task is not None:
                    self._task.uncancel()
                self._ended.set_result(None)

    @property
    def _is_caller_cancelled(self) -> bool:
        own = 0 if self._ended is None else 1
        return self._task is not None and self._task.cancelling() - own > self._cancelling

    def end(self, reason: str) -> asyncio.Future[None]:
        """Cancel it, and return a future that is done once it is over."""
        self._reason = reason
        self._ended = asyncio.get_running_loop().create_future()
        if self._task is not None:
            self._task.cancel()
        return self._ended
