"""The HTTP side of a fake venue: requests for snapshots and for addresses."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import h11
import msgspec


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """An HTTP request to a venue. The names of `headers` are in lower case, and may have a token as a value."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<ApiRequest {self.method} {self.path}>"


AnswerRequest = Callable[[ApiRequest], tuple[int, Any]]
"""The status and the JSON body that answer a request."""


class HttpApi:
    """A listener on loopback that answers each request with JSON, and then closes the connection."""

    def __init__(self, answer: AnswerRequest) -> None:
        self.answer = answer
        self.port = 0
        self.transports: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, ssl: ssl_module.SSLContext | None) -> None:
        """Listen, on the same port as before if there was one. Idempotent."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(lambda: _ApiConnection(self), host, self.port, ssl=ssl)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse further connections, and end those that are open. Idempotent."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for transport in self.transports:
            transport.abort()
        await asyncio.sleep(0)  # uvloop closes the listening socket one turn of the loop later


class _ApiConnection(asyncio.Protocol):
    def __init__(self, api: HttpApi) -> None:
        self._api = api
        self._http = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._api.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self._transport is not None:
            self._api.transports.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._http.receive_data(data)
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._request = event
                elif isinstance(event, h11.EndOfMessage):
                    return self._respond()
                elif not isinstance(event, h11.Data):
                    return None  # more has to come
        except h11.RemoteProtocolError:
            self._end()

    def _respond(self) -> None:
        request = self._request
        if request is None:
            return
        target = urlsplit(request.target.decode("latin-1"))
        status, body = self._api.answer(
            ApiRequest(
                request.method.decode("latin-1"),
                target.path,
                dict(parse_qsl(target.query)),
                {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers},
            )
        )
        text = msgspec.json.encode(body)
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(text))), ("Connection", "close")]
        parts = (h11.Response(status_code=status, headers=headers), h11.Data(text), h11.EndOfMessage())
        self._end(b"".join(self._http.send(part) or b"" for part in parts))

    def _end(self, last: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(last)
            self._transport.close()
