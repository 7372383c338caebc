"""A WebSocket server that is not the bottleneck: frames made beforehand, written in large pieces, one thread each.

It runs as a process of its own (`python -m benchmarks.server`), prints its port, and ends when its stdin does. After
the upgrade the client asks by a text message:

- ``receive N SIZE``: N text messages of SIZE bytes;
- ``send N``: N messages will follow; the answer to the last one is ``done``;
- ``echo N``: N messages will follow; each is answered by one of the same size;
- ``answer N``: N messages will follow; each is sent back as it is.

A path that begins with ``/socket.io/`` speaks that protocol around the same requests. The first upgrade on a path that
begins with ``/refuse/`` gets 503. Beside GET, a request line may say ``KILL /path`` (end every connection of that path
without a CLOSE frame) or ``COUNT /path`` (how many upgrades were asked for).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import socket
import sys
import threading
from collections import Counter, defaultdict

from .cores import pin

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PIECE = 1 << 20
_SOCKET_IO = "/socket.io/"
_EVENT = ('42["m","', '"]')


class ClientGone(Exception):
    """The client has gone, or said CLOSE."""


class FrameReader:
    """Whole frames from a socket."""

    def __init__(self, sock: socket.socket, rest: bytes) -> None:
        self._sock = sock
        self._buffer = bytearray(rest)
        self._scratch = bytearray(_PIECE)

    def frame(self) -> tuple[int, bytes, int]:
        """The next frame: opcode, payload and its length on the wire."""
        self._need(6)
        opcode, length, head = self._buffer[0] & 15, self._buffer[1] & 127, 6
        if length > 125:
            wide = 2 if length == 126 else 8
            head += wide
            self._need(head)
            length = int.from_bytes(self._buffer[2 : 2 + wide], "big")
        self._need(head + length)
        mask = bytes(self._buffer[head - 4 : head]) * (length // 4 + 1)
        masked = bytes(self._buffer[head : head + length])
        del self._buffer[: head + length]
        plain = int.from_bytes(masked, "big") ^ int.from_bytes(mask[:length], "big")
        return opcode, plain.to_bytes(length, "big"), head + length

    def skip(self, size: int) -> None:
        """So many bytes, unread."""
        size -= len(self._buffer)
        if size < 0:
            del self._buffer[:size]
            return
        self._buffer.clear()
        while size > 0:
            size -= self._receive(min(size, len(self._scratch)))

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            got = self._receive(len(self._scratch))
            self._buffer += memoryview(self._scratch)[:got]

    def _receive(self, size: int) -> int:
        got = self._sock.recv_into(self._scratch, size)
        if not got:
            raise ClientGone
        return got


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return one whole frame of a server."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


class ServerConnection:
    """One WebSocket."""

    def __init__(self, sock: socket.socket, rest: bytes, *, socket_io: bool) -> None:
        self._sock = sock
        self._reader = FrameReader(sock, rest)
        self._before, self._after = _EVENT if socket_io else ("", "")

    def serve(self) -> None:
        """Answer requests until the client goes."""
        if self._before:
            self._greet()
        while True:
            opcode, payload, _ = self._reader.frame()
            if opcode == 8:
                self._sock.sendall(frame(payload[:2], 8))
                raise ClientGone
            text = payload.decode()
            if opcode != 1 or not text.startswith(self._before):
                continue
            request, *numbers = text.removeprefix(self._before).removesuffix(self._after).split()
            values = [int(number) for number in numbers]
            if request == "receive":
                self._write_many(*values)
            elif request == "send":
                self._read_many(*values)
            elif request == "echo":
                self._echo(*values)
            elif request == "answer":
                self._answer(*values)

    def _greet(self) -> None:
        hello = {"sid": "a", "upgrades": [], "pingInterval": 600_000, "pingTimeout": 600_000, "maxPayload": 1 << 24}
        self._sock.sendall(frame(f"0{json.dumps(hello)}".encode()))
        self._reader.frame()
        self._sock.sendall(frame(b'40{"sid":"b"}'))

    def _message(self, size: int) -> bytes:
        filler = "x" * (size - len(self._before) - len(self._after))
        return frame(f"{self._before}{filler}{self._after}".encode())

    def _write_many(self, count: int, size: int) -> None:
        one = self._message(size)
        many = max(1, _PIECE // len(one))
        piece = memoryview(one * min(many, count))
        for _ in range(count // many):
            self._sock.sendall(piece)
        self._sock.sendall(piece[: count % many * len(one)])

    def _read_many(self, count: int) -> None:
        _, _, length = self._reader.frame()
        self._reader.skip(length * (count - 1))  # all are of one length
        self._sock.sendall(frame(f"{self._before}done{self._after}".encode()))

    def _echo(self, count: int) -> None:
        _, payload, length = self._reader.frame()
        answer = frame(payload)
        self._sock.sendall(answer)
        for _ in range(count - 1):
            self._reader.skip(length)
            self._sock.sendall(answer)

    def _answer(self, count: int) -> None:
        for _ in range(count):
            self._sock.sendall(frame(self._reader.frame()[1]))


class Server:
    """Listens, and gives each connection a thread."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._handshakes: Counter[str] = Counter()
        self._open: defaultdict[str, set[socket.socket]] = defaultdict(set)
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def run(self) -> None:
        """Accept for ever."""
        for number in itertools.count():
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), name=f"connection {number}", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        path = ""
        try:
            with sock:
                data = bytearray()
                while b"\r\n\r\n" not in data:
                    got = sock.recv(65536)
                    if not got:
                        return
                    data += got
                head, _, rest = bytes(data).partition(b"\r\n\r\n")
                line, *fields = head.decode("latin-1").split("\r\n")
                method, path, *_ = line.split()
                if method != "GET":
                    sock.sendall(str(self._control(method, path)).encode())
                    return
                with self._lock:
                    self._handshakes[path] += 1
                    first = self._handshakes[path] == 1
                    self._open[path].add(sock)
                if first and path.startswith("/refuse/"):
                    sock.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                key = next(
                    text.split(":", 1)[1].strip() for text in fields if text.lower().startswith("sec-websocket-key:")
                )
                accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest())  # noqa: S324 - RFC 6455
                sock.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                ServerConnection(sock, rest, socket_io=path.startswith(_SOCKET_IO)).serve()
        except (ClientGone, OSError):
            pass
        finally:
            with self._lock:
                self._open[path].discard(sock)

    def _control(self, method: str, path: str) -> int:
        with self._lock:
            if method == "COUNT":
                return self._handshakes[path]
            sockets = list(self._open[path])
            for sock in sockets:
                sock.shutdown(socket.SHUT_RDWR)
            return len(sockets)


def main() -> None:
    """Serve until stdin ends with the parent process."""
    pin(server=True)
    threading.stack_size(256 << 10)
    server = Server()
    threading.Thread(target=server.run, daemon=True).start()
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)  # its threads wait for clients that may still be there


if __name__ == "__main__":
    main()
