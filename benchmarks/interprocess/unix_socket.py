"""The floor: a Unix socket of asyncio, one write per peer and turn of the loop, lengths before messages."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from .base import BATCH_SIZE, Consumer, MessageCallback, Producer

_LENGTH = struct.Struct("!I")


class _Broadcaster(asyncio.Protocol):
    """Puts itself on the list."""

    def __init__(self, transports: list[asyncio.Transport]) -> None:
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more."""
        self._transports.append(cast("asyncio.Transport", transport))


class UnixSocketProducer(Producer):
    """Listens."""

    async def open(self) -> None:
        """Listen."""
        self.transports: list[asyncio.Transport] = []
        loop = asyncio.get_running_loop()
        self.server = await loop.create_unix_server(lambda: _Broadcaster(self.transports), f"{self.address}/socket")

    async def burst(self, message: str, count: int) -> None:
        """A slice in each turn."""
        for start in range(0, count, BATCH_SIZE):
            payload = message.encode()
            frame = _LENGTH.pack(len(payload)) + payload
            data = b"".join([frame] * min(BATCH_SIZE, count - start))
            for transport in self.transports:
                transport.write(data)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Hang up."""
        self.server.close()
        for transport in self.transports:
            transport.close()


class _LengthPrefixReader(asyncio.Protocol):
    """Cuts what comes into messages."""

    def __init__(self, take: MessageCallback) -> None:
        self._take = take
        self._held = b""

    def data_received(self, data: bytes) -> None:
        """Some of it."""
        held, at, take = self._held + data, 0, self._take
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            end = at + _LENGTH.size + length
            if end > len(held):
                break
            take(held[at + _LENGTH.size : end].decode())
            at = end
        self._held = held[at:]


class UnixSocketConsumer(Consumer):
    """Reads."""

    async def open(self) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_unix_connection(
            lambda: _LengthPrefixReader(self.take), f"{self.address}/socket"
        )

    async def close(self) -> None:
        """Hang up."""
        self.transport.close()
