"""Releasing an ended TLS stream."""

import asyncio
from typing import Any

from onesocket.transports._tls_write_monitor import TlsWriteMonitor
from onesocket.transports._tunnel import Tunnel
from onesocket.transports._websocket_stream import WebSocketStream
from onesocket.wire._handshake import DialRequest


class DetachedTlsTransport(asyncio.Transport):
    """A TLS transport of asyncio after its end, where `set_protocol` may fail."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise AttributeError("'NoneType' object has no attribute '_set_app_protocol'")

    def is_closing(self) -> bool:
        return True

    def abort(self) -> None:
        pass


async def test_a_tls_transport_that_has_dropped_its_tls_can_be_released() -> None:
    events: Any = None
    sock: Any = None
    monitor = TlsWriteMonitor(None)
    stream = WebSocketStream(DialRequest("ws://h/"), events, events)
    tunnel = Tunnel()
    tunnel.connection_lost(None)
    stream.start_handshake(DetachedTlsTransport(), tunnel, sock, monitor)
    await stream.wait_closed()
    assert monitor.on_change is not None
    stream.release()
    assert monitor.on_change is None
