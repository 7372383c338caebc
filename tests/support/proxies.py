"""HTTP and SOCKS proxies on loopback, written for the tests: what they were asked for is recorded."""

import asyncio
import base64
import contextlib
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, ssl: ssl_module.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve each connection by `handler`; gives the port on 127.0.0.1. An end of the connection is no error."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        serving_now[writer] = over
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        await _close(writer)
        over.set()

    serving_now: dict[asyncio.StreamWriter, asyncio.Event] = {}
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
    port: int = server.sockets[0].getsockname()[1]
    try:
        yield port
    finally:
        server.close()
        for writer, over in serving_now.items():
            writer.transport.abort()  # its handler reads the end
            await over.wait()


async def forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, answer: bytes = b"", request: bytes = b""
) -> None:
    """Connect to 127.0.0.1:`port`, pass on `request`, send `answer`, then pass on bytes until either side ends.

    The end of one side is that of the other: a reset is passed on as a reset.
    """
    up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
    up_writer.write(request)
    writer.write(answer)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            sink.transport.abort()
        finally:
            sink.close()

    await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
    await _close(up_writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    # A stream's future has the reset that ended it: unless it is awaited, the collector may report it.
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


class HttpProxy:
    """Forwards CONNECT, and requests of http, to 127.0.0.1; `requests` has the heads of all requests.

    `credentials`: "user:password" that it wants (else 407); `answer`: the bytes that it answers instead of forwarding.
    """

    def __init__(self, *, credentials: str | None = None, answer: bytes | None = None) -> None:
        self.requests: list[str] = []
        self.credentials = credentials
        self.answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
        self.requests.append(head)
        if self.answer is not None:
            writer.write(self.answer)
            await reader.read()
        elif (
            self.credentials is not None and f"Basic {base64.b64encode(self.credentials.encode()).decode()}" not in head
        ):
            writer.write(
                b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="a, b"\r\n\r\n'
            )
        else:
            method, target, _ = head.split(" ", 2)
            if method == "CONNECT":
                port = int(target.rpartition(":")[2])
                await forward(reader, writer, port, b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                await forward(reader, writer, urlsplit(target).port or 80, request=head.encode("ascii"))


class Socks5Proxy:
    """Forwards CONNECT (RFC 1928) to 127.0.0.1; `targets` has the hosts that it was asked for.

    `credentials`: those that it wants (RFC 1929); `reply`: the code that it answers.
    """

    def __init__(self, *, credentials: tuple[str, str] | None = None, reply: int = 0) -> None:
        self.targets: list[str] = []
        self.credentials = credentials
        self.reply = reply

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        methods = await reader.readexactly((await reader.readexactly(2))[1])
        method = 0 if self.credentials is None else 2
        writer.write(bytes([5, method if method in methods else 255]))
        if method not in methods:
            return
        if self.credentials is not None:
            await reader.readexactly(1)
            given = tuple([(await self._counted(reader)).decode() for _ in range(2)])
            writer.write(bytes([1, given != self.credentials]))
            if given != self.credentials:
                return
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await self._counted(reader)).decode()
        else:
            host = ".".join(map(str, await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.targets.append(host)
        answer = bytes([5, self.reply, 0, 1, *bytes(6)])
        if self.reply:
            writer.write(answer)
        else:
            await forward(reader, writer, port, answer)

    async def _counted(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.readexactly((await reader.readexactly(1))[0])


class Socks4Proxy:
    """Forwards CONNECT of SOCKS 4 and 4a to 127.0.0.1; `targets` has the hosts, `users` the user ids."""

    def __init__(self, *, reply: int = 90) -> None:
        self.targets: list[str] = []
        self.users: list[str] = []
        self.reply = reply

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        head = await reader.readexactly(8)
        self.users.append((await reader.readuntil(b"\0"))[:-1].decode())
        named = head[4:7] == bytes(3) and head[7] != 0
        self.targets.append((await reader.readuntil(b"\0"))[:-1].decode() if named else ".".join(map(str, head[4:])))
        answer = bytes([0, self.reply, *bytes(6)])
        if self.reply != 90:
            writer.write(answer)
        else:
            await forward(reader, writer, int.from_bytes(head[2:4], "big"), answer)
