"""The readers of a broadcast: plain sockets, so cheap that the measurement is about the server.

It runs as a process of its own, `python -m benchmarks.broadcast_readers FD PORT COUNT DIALECT [CORE]`; FD is a socket
to the process that broadcasts, CORE one that it is not on. When all are connected it sends there eight zero bytes. From
then on each byte that comes asks for one message on every connection, and is answered by the length of them all, in
eight bytes. It ends when that socket does, or when a message doesn't come.

Nobody reads before being asked: a reader that is woken by each frame would charge its wake-ups to the server.
"""

from __future__ import annotations

import json
import resource
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final

from .cores import pin_to

_PATIENCE: Final = 30
_TEXT: Final = 0x81
_SHORT: Final = 126
_HEAD, _LONG_HEAD = 2, 4
_BUFFER: Final = 4096
_NO_MASK: Final = bytes(4)
_SPARE: Final = 64


class BroadcastReader:
    """One connection."""

    def __init__(self, port: int, path: str) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._sock.settimeout(None)  # with a timeout each read would be two system calls
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _PATIENCE, 0))
        self._sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._received()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"no upgrade: {head[:80]!r}")

    def _received(self) -> bytes:
        data = self._sock.recv(_BUFFER)
        if not data:
            raise ConnectionError("the server has closed a connection")
        return data

    def send(self, text: str) -> None:
        """A short or a longer text, masked with nothing."""
        payload = text.encode()
        size = len(payload)
        head = bytes([_TEXT, 128 | size]) if size < _SHORT else struct.pack("!BBH", _TEXT, 128 | _SHORT, size)
        self._sock.sendall(head + _NO_MASK + payload)

    def message(self) -> bytes:
        """The payload of the next text; it has to be one frame."""
        data, self._buffer = self._buffer or self._received(), b""
        while True:
            start = _LONG_HEAD if len(data) > 1 and data[1] == _SHORT else _HEAD
            if len(data) >= start:
                size = data[1] if start == _HEAD else int.from_bytes(data[2:4], "big")
                if len(data) >= start + size:
                    break
            data += self._received()
        if data[0] != _TEXT:
            raise ConnectionError(f"not one text: {data[:16]!r}")
        self._buffer = data[start + size :]
        return data[start : start + size]


def _plain(port: int, _number: int) -> BroadcastReader:
    return BroadcastReader(port, "/")


def _gateway(port: int, number: int) -> BroadcastReader:
    """HELLO, Identify, READY."""
    reader = BroadcastReader(port, "/?v=10&encoding=json")
    reader.message()
    properties = {"os": "none", "browser": "none", "device": "none"}
    identify = {"token": str(number + 1), "intents": 1 << 9, "properties": properties}
    reader.send(json.dumps({"op": 2, "d": identify}))
    if b'"READY"' not in reader.message():
        raise ConnectionError("the gateway did not say READY")
    return reader


def _socket_io(port: int, _number: int) -> BroadcastReader:
    """Engine.IO's open packet, and the connection to the default namespace."""
    reader = BroadcastReader(port, "/socket.io/?EIO=4&transport=websocket")
    reader.message()
    reader.send("40")
    reader.message()
    return reader


DIALECTS: Final[dict[str, Callable[[int, int], BroadcastReader]]] = {
    "plain": _plain,
    "gateway": _gateway,
    "socket.io": _socket_io,
}


def allow_files(count: int) -> None:
    """Let this process open so many files. Raises ValueError when it must not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(fd: str, port: str, count: str, dialect: str, core: str = "") -> None:
    """Read whenever asked to."""
    if core:
        pin_to(int(core))
    allow_files(int(count))
    with socket.socket(fileno=int(fd)) as control:
        connect = DIALECTS[dialect]
        readers = [connect(int(port), number) for number in range(int(count))]
        control.sendall(struct.pack("!Q", 0))
        while control.recv(1):
            control.sendall(struct.pack("!Q", sum([len(reader.message()) for reader in readers])))


if __name__ == "__main__":
    main(*sys.argv[1:])
