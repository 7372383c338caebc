"""A local chat server that speaks Discord's gateway and HTTP API, with scripted faults.

Needs the extra `server`: ``pip install "onesocket-discord[server]"``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onesocket.errors import MissingExtra

from ._requests import RequestRecord

if TYPE_CHECKING:
    from ._chat_server import ChatServer
    from .gateway import GatewayOptions, Stats
    from .gateway._fault_schedule import Fault

__all__ = ["ChatServer", "Fault", "GatewayOptions", "RequestRecord", "Stats"]

_EXTRA = frozenset({"aiosqlite", "argon2", "sqlalchemy"})


def __getattr__(name: str) -> Any:
    """Import the server on first access: it needs the extra `server`."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from . import _chat_server, gateway  # noqa: PLC0415 - see the docstring
        from .gateway import _fault_schedule  # noqa: PLC0415
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtra(f'the chat server needs {error.name}: pip install "onesocket-discord[server]"') from error
    return {
        "ChatServer": _chat_server.ChatServer,
        "Fault": _fault_schedule.Fault,
        "GatewayOptions": gateway.GatewayOptions,
        "Stats": gateway.Stats,
    }[name]
