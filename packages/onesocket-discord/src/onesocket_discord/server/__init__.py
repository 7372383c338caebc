"""The reference application: a chat server that speaks Discord's gateway, and a terminal application for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onesocket.errors import MissingExtra

if TYPE_CHECKING:
    from ._chat_server import ChatServer
    from .gateway import GatewayOptions, Stats
    from .gateway._fault_schedule import Fault

__all__ = ["ChatServer", "Fault", "GatewayOptions", "Stats"]

_EXTRA = frozenset({"aiohttp", "aiosqlite", "alembic", "argon2", "sqlalchemy", "backports"})


def __getattr__(name: str) -> Any:
    """Import the server when it is asked for: it needs the extra `chat`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _chat_server as server  # noqa: PLC0415 - see the docstring
        from . import gateway  # noqa: PLC0415
        from .gateway import _fault_schedule as plan  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtra(f'the chat server needs {error.name}: pip install "onesocket-discord[server]"') from error
    return {
        "ChatServer": server.ChatServer,
        "Fault": plan.Fault,
        "GatewayOptions": gateway.GatewayOptions,
        "Stats": gateway.Stats,
    }[name]
