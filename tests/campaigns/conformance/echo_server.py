"""An echo server made of the project's `ServerConnection`, for the fuzzing client."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from onesocket.transports._server_connection import ServerConnection
from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data
from tests.engines.endpoint import ServerSettings
from tests.engines.own_engine import OwnServer


class _Echo:
    """Sends every message of one connection back."""

    def opened(self, connection: ServerConnection) -> None:
        self._texts = connection.writer()
        self._binaries = connection.writer(binary=True)

    def received(self, data: Data) -> None:
        if isinstance(data, str):
            self._texts(data.encode())
        else:
            self._binaries(data)

    def overflowed(self) -> None:
        pass

    def drained(self) -> None:
        pass

    def ended(self, code: int) -> None:
        del code


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """Serve on loopback, with permessage-deflate for clients that offer it; yields the URL."""
    server = OwnServer(ServerSettings(deflate=DeflateParameters()), _Echo)
    await server.listen()
    try:
        yield f"ws://127.0.0.1:{server.port}"
    finally:
        await server.aclose()
