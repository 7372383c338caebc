"""A chat for the terminal and the browser: a Textual application on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._application import ChatApp

__all__ = ["ChatApp"]


def __getattr__(name: str) -> Any:
    """Import the application on first access: every `onesocket` command loads this package, and Textual is slow."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ._application import ChatApp  # noqa: PLC0415 - see the docstring

    return ChatApp
