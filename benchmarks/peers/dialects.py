"""Just enough of each peer's own protocol for its connect() to come to an end."""

from __future__ import annotations

import json
from collections.abc import Callable

from onesocket.testing import FaultyServer
from onesocket.testing._faulty_connection import FaultyConnection

Message = str | bytes
Greeting = str | bytes | None
Reply = Callable[[Message], Message | None]

_RECORD = "\x1e"  # SignalR ends each of its messages with this


def _text(message: Message) -> str:
    return message if isinstance(message, str) else message.decode("utf-8", "replace")


def silent(_message: Message) -> Message | None:
    """No answer to anything."""
    return None


def socket_io(message: Message) -> Message | None:
    """The namespace is connected to."""
    return '40{"sid":"b"}' if _text(message).startswith("40") else None


def nats(message: Message) -> Message | None:
    """PING is answered; CONNECT needs no answer."""
    return b"PONG\r\n" if b"PING" in _text(message).encode() else None


def signalr(message: Message) -> Message | None:
    """The handshake is accepted."""
    return "{}" + _RECORD if '"protocol"' in _text(message) else None


def graphql(message: Message) -> Message | None:
    """The init is acknowledged."""
    return '{"type":"connection_ack"}' if "connection_init" in _text(message) else None


def centrifuge(message: Message) -> Message | None:
    """Connect is answered."""
    command = json.loads(_text(message).splitlines()[0])
    reply = {"id": command.get("id"), "connect": {"client": "a", "version": "1"}}
    return json.dumps(reply) if "connect" in command else None


SOCKET_IO_HELLO = '0{"sid":"a","upgrades":[],"pingInterval":60000,"pingTimeout":60000,"maxPayload":1000000}'
NATS_HELLO = b'INFO {"server_id":"a","version":"2.10.0","proto":1,"headers":true,"max_payload":1048576}\r\n'


def server(greeting: Greeting, reply: Reply, subprotocols: tuple[str, ...]) -> FaultyServer:
    """A counting server that speaks so."""

    async def handle(connection: FaultyConnection) -> None:
        """Greet, then answer."""
        if greeting is not None:
            await connection.send(greeting)
        async for message in connection:
            answer = reply(message)
            if answer is not None:
                await connection.send(answer)

    return FaultyServer(handler=handle, subprotocols=subprotocols)
