"""Calls of the program's own functions, and the classification of their exceptions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..errors import (
    Abandoned,
    ClientClosed,
    EncodeError,
    ManuallyDisconnected,
    NoCurrentProvider,
    OnesocketError,
    TokenFailed,
    URLFailed,
    UsageError,
    WrongEventLoop,
)
from ..protocols._protocol import Protocol
from ..protocols._raw import Raw
from ..wire._handshake import Data

E = TypeVar("E", bound=OnesocketError)

USER_ERRORS: Final = (Exception, asyncio.CancelledError, GeneratorExit)
"""Exceptions of a program's function that must harm nothing else. `SystemExit` and `KeyboardInterrupt` end the program.

The result of a cancelled future, looked at in a callback, is among it: that `CancelledError` isn't the cancellation of
the task that happens to run the callback.
"""

_CLIENT_ERRORS: Final = (ClientClosed, ManuallyDisconnected, WrongEventLoop, NoCurrentProvider, Abandoned)


def concerns_another_client(error: BaseException) -> bool:
    """True for an error about a client: raised by a function of the program, it is about another client."""
    return isinstance(error, _CLIENT_ERRORS)


def mark_unwrapped(error: E) -> E:
    """Mark an error of a token source of our own: the attempt ends with this error, not with `TokenFailed`."""
    error.is_unwrapped = True
    return error


def is_async(function: Callable[..., Any]) -> bool:
    """True for a coroutine function, and for an object that is called like one."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def refuse_awaitable(answer: object, method: str, remedy: str = "start a task in it") -> None:
    """Raise `UsageError` for the result of a plain function that `method` calls and doesn't await."""
    if not inspect.isawaitable(answer):
        return
    if inspect.iscoroutine(answer):
        answer.close()
    raise UsageError(f"the function returned an awaitable, and {method} awaits none: {remedy}")


def raise_in_loop(error: BaseException) -> None:
    """Raise this out of the running loop, in a turn of its own: this turn may be one that delivers messages."""
    asyncio.get_running_loop().call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error


async def call_user_function(
    source: Callable[[], Any],
    what: str = "the token source",
    failure_type: type[TokenFailed | URLFailed] = TokenFailed,
) -> object:
    """The answer of a token source, or of another (coroutine) function that the program brought.

    Raises `failure_type` with the source's exception as its cause (the text may hold a secret, so it is not repeated).
    Whether trying again can help is what one of our errors says of itself, and yes for all others. `SystemExit`,
    `KeyboardInterrupt`, the caller's own cancellation, and verdicts pass.
    """
    me = asyncio.current_task()
    try:
        answer = source()
        return await answer if inspect.isawaitable(answer) else answer
    except USER_ERRORS as error:
        if isinstance(error, failure_type) or getattr(error, "is_unwrapped", False) or ends_task(me, error):
            raise
        if isinstance(error, asyncio.CancelledError):
            raise failure_type(f"{what} was cancelled", retryable=True) from error
        failure = failure_type(f"{what} raised {type(error).__name__}", retryable=True)
        if isinstance(error, OnesocketError):
            failure.retryable, failure.retry_after = error.retryable, error.retry_after
        raise failure from error


def ends_task(task: asyncio.Task[Any] | None, error: BaseException) -> bool:
    """Return whether the error ends the task from outside, and was not raised by the function itself."""
    if isinstance(error, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    if isinstance(error, GeneratorExit):
        try:
            return asyncio.current_task() is not task  # then it's the collector
        except RuntimeError:
            return True
    return False


def encode_message(protocol: Protocol, message: Any) -> Data:
    """Encode a message with the protocol; raises `EncodeError`, or the protocol's own `OnesocketError`."""
    if type(protocol) is Raw and isinstance(message, (str, bytes)):  # as it is, without the calls below
        return message
    try:
        data: Any = protocol.encode(message)
    except USER_ERRORS as error:
        if isinstance(error, OnesocketError) and not concerns_another_client(error):
            raise
        raise EncodeError(
            f"the protocol {protocol.name} failed on a message of type {type(message).__name__}"
        ) from error
    if not isinstance(data, (str, bytes)):  # a union would be built for each message
        raise EncodeError(f"the protocol {protocol.name} made {type(data).__name__} of it, not str or bytes")
    return data
