"""Sans-IO protocols above WebSocket messages, and the base classes for protocols of your own."""

from ._codec import CodecProtocol
from ._json import Json
from ._login import Login
from ._msgpack import Msgpack
from ._pace import Pace
from ._protocol import Action, Deliver, Fail, Protocol, Ready, Send, WakeAt
from ._raw import Raw
from ._token import TokenHeader, TokenQuery

__all__ = [
    "Action",
    "CodecProtocol",
    "Deliver",
    "Fail",
    "Json",
    "Login",
    "Msgpack",
    "Pace",
    "Protocol",
    "Raw",
    "Ready",
    "Send",
    "TokenHeader",
    "TokenQuery",
    "WakeAt",
]
