"""A TCP relay on loopback whose connections can be held up, each in each direction, or cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class RelayedConnection:
    """One connection through the relay."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.passes_up, self.passes_down = asyncio.Event(), asyncio.Event()
        self.passes_up.set()
        self.passes_down.set()
        self.asked, self.answered = b"", b""
        """All that client and server have sent, also what is held up."""
        self.cut_at: bytes | None = None
        """The connection is cut when the server sends this, which the client does not get."""
        self._changed = asyncio.Event()
        self._client = client
        self._server = server

    async def pump_up(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the client sends; its end is not passed on, so that an answer to what was held can be seen."""
        while data := await reader.read(65_536):
            self.asked += data
            self._changed.set()
            await self.passes_up.wait()
            self._server.write(data)

    async def pump_down(self, reader: asyncio.StreamReader) -> None:
        """Pass on what the server sends, and its end."""
        while data := await reader.read(65_536):
            self.answered += data
            self._changed.set()
            if self.cut_at is not None and self.cut_at in self.answered:
                self.cut()
            await self.passes_down.wait()
            self._client.write(data)
        self._client.close()

    async def wait_for_request(self, part: bytes) -> None:
        """Wait until the client has sent `part`."""
        while part not in self.asked:
            self._changed.clear()
            await self._changed.wait()

    async def wait_for_answer(self, part: bytes) -> None:
        """Wait until the server has sent `part`."""
        while part not in self.answered:
            self._changed.clear()
            await self._changed.wait()

    def cut_from_client(self) -> None:
        """End the client's side: what it has sent still reaches the server."""
        self._client.transport.abort()

    def cut(self) -> None:
        """End the connection at both sides."""
        self.cut_from_client()
        self._server.transport.abort()


class HoldingRelay:
    """Passes connections on to 127.0.0.1:`target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.connections: list[RelayedConnection] = []
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def run(cls, target: int) -> AsyncIterator["HoldingRelay"]:
        """Listen until the end of the block; then all connections are cut."""
        relay = cls(target)
        listener = await asyncio.start_server(relay._serve, "127.0.0.1", 0)
        relay.port = listener.sockets[0].getsockname()[1]
        try:
            yield relay
        finally:
            listener.close()
            for each in relay.connections:
                each.cut()
            for task in relay._tasks:
                task.cancel()
            await asyncio.gather(*relay._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        connection = RelayedConnection(writer, to_server)
        self.connections.append(connection)
        self._tasks.append(asyncio.create_task(connection.pump_up(reader)))
        self._tasks.append(asyncio.create_task(connection.pump_down(from_server)))
