"""The serving side of Discord's gateway, version 10: what the local server and the hub's frontend have in common."""

from ._client_payloads import ClientViolation, Identify, RequestGuildMembers, Resume
from ._connection import ServedConnection
from ._options import GatewayOptions
from ._server_payloads import EncodedDispatch
from ._session import ServedSession
from ._session_registry import ServedSessions

__all__ = [
    "ClientViolation",
    "EncodedDispatch",
    "GatewayOptions",
    "Identify",
    "RequestGuildMembers",
    "Resume",
    "ServedConnection",
    "ServedSession",
    "ServedSessions",
]
