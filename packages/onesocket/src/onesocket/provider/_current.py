"""The current provider, for components that are not passed one."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from ..errors import NoCurrentProvider
from ._provider import Provider

P = TypeVar("P", bound=Provider[Any])

_current: ContextVar[Provider[Any]] = ContextVar("onesocket_current_provider")


@contextlib.contextmanager
def use(provider: P) -> Generator[P, None, None]:
    """Make `provider` the current one inside the block, and in every task started there. Blocks nest."""
    token = _current.set(provider)
    try:
        yield provider
    finally:
        # The block may be left in another context than entered (halves of a fixture): there it was never set.
        with contextlib.suppress(ValueError):
            _current.reset(token)


def current_provider() -> Provider[Any]:
    """Return the provider of the innermost `use(provider)` block; raises `NoCurrentProvider` outside."""
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentProvider("there is no current provider here; wrap it in: with use(provider):") from None
