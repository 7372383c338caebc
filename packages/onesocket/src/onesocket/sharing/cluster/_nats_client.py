"""Requests to JetStream, over a connection that is made anew when it was lost."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from ...errors import EngineUnavailable
from ._nats_address import NatsAddress
from ._nats_connection import NatsConnection, NatsMessage
from ._nats_errors import NO_MESSAGE, NatsRefused
from ._nats_records import StreamMessage

_API: Final = "$JS.API."


class NatsClient:
    """JetStream's requests that a coordinator needs. Each raises `NatsRefused` for a refusal, or a typed error."""

    def __init__(self, address: NatsAddress, name: str, timeout: float) -> None:
        """`name`: of the connection, for the server's operator; `timeout`: seconds for each request."""
        self._address = address
        self._name = name
        self._timeout = timeout
        self._connecting = asyncio.Lock()
        self._connection: NatsConnection | None = None
        self._is_closed = False
        self.requests = 0
        """Number of requests so far."""

    def __repr__(self) -> str:
        return f"<NatsClient {self._connection or self._address}>"

    async def connect(self) -> NatsConnection:
        """The connection; made now if there is none, or it is lost."""
        async with self._connecting:
            if self._is_closed:
                raise EngineUnavailable(f"{self._address}: this coordinator is closed")
            if self._connection is None or self._connection.is_lost:
                self._connection = await self._connect()
            return self._connection

    @property
    def connection(self) -> NatsConnection:
        """The connection that was made last. Raises `EngineUnavailable` if it is lost.

        Requests make no other one: what their caller knows of a server may not hold behind a new connection.
        """
        if self._connection is None or self._connection.is_lost:
            raise EngineUnavailable(f"{self._address}: the connection is lost")
        return self._connection

    async def _connect(self) -> NatsConnection:
        last: EngineUnavailable | None = None
        for host in self._address.hosts:
            try:
                return await NatsConnection.open(self._address, host, self._name, self._timeout)
            except EngineUnavailable as error:
                last = error
        assert last is not None  # noqa: S101 - an address has a host
        raise last

    async def ask(
        self, name: str, body: Mapping[str, Any] | None = None, over: NatsConnection | None = None
    ) -> dict[str, Any]:
        """Run an operation of JetStream's API; `over`: a connection, instead of the one that is in use then."""
        data = json.dumps(body).encode() if body else b""
        return await self._request(NatsMessage(_API + name, data, {}), over)

    async def touch(self, message: NatsMessage) -> None:
        """Publish a message to which nobody answers: raises `NatsRefused` for that, or `EngineCommandDenied`."""
        await self.connection.request(message)

    async def write(self, message: NatsMessage) -> int:
        """Store a message; returns its sequence in the stream."""
        return int((await self._request(message))["seq"])

    async def newest(self, stream: str, subject: str) -> StreamMessage | None:
        """The newest message on a subject; None: there is none."""
        return await self._get(stream, {"last_by_subj": subject})

    async def next_after(self, stream: str, subject: str, sequence: int) -> StreamMessage | None:
        """The first message on a subject after a sequence; None: there is none yet."""
        return await self._get(stream, {"next_by_subj": subject, "seq": sequence + 1})

    def descriptors(self) -> list[int]:
        """The open descriptors of the connection."""
        return [] if self._connection is None else self._connection.descriptors()

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        self._is_closed = True
        if self._connection is not None:
            await self._connection.aclose()

    async def _get(self, stream: str, which: Mapping[str, Any]) -> StreamMessage | None:
        try:
            found = (await self.ask(f"STREAM.MSG.GET.{stream}", which))["message"]
        except NatsRefused as refused:
            if refused.code == NO_MESSAGE:
                return None
            raise
        headers = _headers(base64.b64decode(found.get("hdrs", "")))
        data = base64.b64decode(found.get("data", ""))
        return StreamMessage(found["subject"], found["seq"], headers, data, datetime.fromisoformat(found["time"]))

    async def _request(self, message: NatsMessage, over: NatsConnection | None = None) -> dict[str, Any]:
        connection = self.connection if over is None else over
        self.requests += 1
        answer: dict[str, Any] = json.loads((await connection.request(message)).data)
        error = answer.get("error")
        if error is not None:
            raise NatsRefused(message.subject, error["code"], error.get("err_code", 0), error.get("description", ""))
        return answer


def _headers(block: bytes) -> dict[str, str]:
    lines = (line.decode().partition(":") for line in block.split(b"\r\n")[1:] if line)
    return {name: value.strip() for name, _, value in lines}
