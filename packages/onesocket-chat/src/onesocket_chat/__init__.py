"""The chat for people: a Textual application on one connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onesocket.errors import MissingExtra

if TYPE_CHECKING:
    from ._application import ChatApp

__all__ = ["ChatApp"]

_EXTRA = frozenset({"aiohttp", "textual"})


def __getattr__(name: str) -> Any:
    """Import the application when it is asked for: it needs the extra `chat`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from ._application import ChatApp  # noqa: PLC0415 - see the docstring
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        raise MissingExtra(f'the chat needs {missing}: pip install "onesocket[chat]"') from error
    return ChatApp
