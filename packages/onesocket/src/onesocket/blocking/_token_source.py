"""Calls the token sources of threads from the host loop: a plain function may block, so it gets a thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .._threads import start_thread
from ..client._token_source import TokenSource, call_token_source
from ..client._user_code import is_async
from ..errors import OnesocketError, TokenFailed


async def call_threads_token_source(
    source: TokenSource, previous: str | None, refusal: OnesocketError | None
) -> str | None:
    """Returns a token of this source; `previous`, `refusal`: the token that was refused, and why."""
    call = functools.partial(call_token_source, source, previous, refusal)
    try:
        answer: Any = call() if is_async(source) else await _in_executor(functools.partial(_call_and_catch, call))
        if isinstance(answer, _RaisedError):
            raise answer.error
        value: str | None = await answer if inspect.isawaitable(answer) else answer
    except (KeyboardInterrupt, SystemExit) as error:
        # Here it would end the host loop's thread.
        raise TokenFailed(f"a token source raised {type(error).__name__}", retryable=True) from error
    return value


class _RaisedError:
    """An exception that a function raised in its thread; futures refuse some, such as `StopIteration`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _call_and_catch(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except BaseException as error:  # noqa: BLE001 - it's raised where the token is asked for
        return _RaisedError(error)


async def _in_executor(source: Callable[[], Any]) -> Any:
    try:
        answer = asyncio.get_running_loop().run_in_executor(None, source)
    except RuntimeError:  # the main thread has ended, and executors take nothing more
        return await _in_new_thread(source)
    return await answer


async def _in_new_thread(source: Callable[[], Any]) -> Any:
    answer: Future[Any] = Future()

    def call() -> None:
        answer.set_result(source())

    answer.set_running_or_notify_cancel()
    start_thread(threading.Thread(target=call, name="onesocket token", daemon=True))
    return await asyncio.wrap_future(answer)
