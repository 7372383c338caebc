"""Exceptions that tests raise in user code, and those that they look at."""

from collections.abc import Callable
from typing import Any


class CustomBaseException(BaseException):
    """Neither an `Exception` nor the end of the program, like `pytest.fail` and the time-outs of some libraries."""


def error_type(function: Callable[..., Any], *arguments: Any) -> type[Exception] | None:
    """The type of the error that this call raises, or None."""
    try:
        function(*arguments)
    except Exception as error:  # noqa: BLE001 - the caller says which one is right
        return type(error)
    return None
