"""Plain functions, in the place of which a coroutine function would be a mistake: nothing awaits it."""

from __future__ import annotations

import inspect


def is_plain_function(function: object) -> bool:
    """True for what can be called and returns its result at once."""
    return callable(function) and not (
        inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    )


def kind_of(value: object) -> str:
    """Name of the kind of a value, for errors: the value itself may hold a secret."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if callable(value) and not is_plain_function(value):
        return "a coroutine function"
    return type(value).__name__
