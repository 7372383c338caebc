"""Servers that send each message to a thousand readers."""

from __future__ import annotations

from .asgi import UvicornSansIo, UvicornWebsockets
from .base import READERS, Broadcaster
from .chat import ChatGateway, ChatGatewaySeparateSequences
from .coroutines import AiohttpServer, WebsocketsServer
from .picows_server import BarePicowsServer
from .socket_io import SocketIoServer

__all__ = [
    "READERS",
    "AiohttpServer",
    "BarePicowsServer",
    "Broadcaster",
    "ChatGateway",
    "ChatGatewaySeparateSequences",
    "SocketIoServer",
    "UvicornSansIo",
    "UvicornWebsockets",
    "WebsocketsServer",
]
