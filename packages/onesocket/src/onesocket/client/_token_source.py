"""Token sources: functions that return a token, and may be told of the one that was refused."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..errors import InvalidOption, OnesocketError

TokenSource = (
    Callable[[], Awaitable[str | None]]
    | Callable[[], str | None]
    | Callable[[str | None, OnesocketError | None], Awaitable[str | None]]
    | Callable[[str | None, OnesocketError | None], str | None]
)

_REFUSAL: Final = ["previous", "error"]
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class FixedToken:
    """A function of the library that prepares each attempt and returns a token that never changes."""

    def __init__(self, prepare: Callable[[str | None, OnesocketError | None], Awaitable[str]]) -> None:
        self._prepare = prepare

    def __repr__(self) -> str:
        return "<FixedToken>"

    def __call__(self, previous: str | None = None, error: OnesocketError | None = None) -> Awaitable[str]:
        """Prepare an attempt."""
        return self._prepare(previous, error)


def renews_token(token: object) -> bool:
    """True if `token` is a source that may give another token than the one that was refused."""
    return callable(token) and not isinstance(token, FixedToken)


def call_token_source(source: Callable[..., Any], previous: str | None, error: OnesocketError | None) -> Any:
    """Call a token source, with the refused token and the refusal if it takes them (both None: none was refused)."""
    return source(previous, error) if takes_refusal(source) else source()


def takes_refusal(source: Callable[..., Any]) -> bool:
    """True if a token source takes a refused token and the refusal.

    That is: its parameters without a default are two, or its first ones are called `previous` and `error`. Raises
    `InvalidOption` for a function that can be called neither with these two nor without arguments.
    """
    try:
        parameters = list(inspect.signature(source).parameters.values())
    except (TypeError, ValueError):  # a function of C
        return False
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    required = [each for each in parameters if each.default is each.empty and each.kind not in _VARIADIC]
    if [each.name for each in positional[:2]] == _REFUSAL or (
        len(required) == len(_REFUSAL) and required == positional[:2]
    ):
        required = [each for each in required if each not in positional[:2]]
        takes = True
    else:
        takes = False
    if required:
        raise InvalidOption(
            "a token source takes no arguments, or two: (previous, error); this one requires the parameter "
            f"{required[0].name!r}"
        )
    return takes
