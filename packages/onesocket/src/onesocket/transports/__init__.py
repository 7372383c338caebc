"""The transport port, for ``Client(transport=…)``; its implementations are WebSocket over a socket, and memory."""

from ._transport import Transport, TransportConnection, TransportEvents

__all__ = ["Transport", "TransportConnection", "TransportEvents"]
