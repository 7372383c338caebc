"""Counts the sockets of clients to one server, in the kernel's table."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, Self

IS_AVAILABLE: Final = sys.platform == "linux"
INTERVAL: Final = 0.005
"""Seconds between two listings."""
_OVERLAPS_KEPT: Final = 5

# <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h>
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST_DUMP: Final = 0x301
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
_REST_OF_ID: Final = bytes(32) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER: Final = struct.Struct("!BBBBHH")


class TcpSocketState(IntEnum):
    """States in which the kernel has something left of a client's socket; in TIME_WAIT it keeps a number only."""

    ESTABLISHED = 1
    SYN_SENT = 2
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    CLOSE_WAIT = 8
    LAST_ACK = 9
    CLOSING = 11


ClientSockets = Mapping[int, TcpSocketState]
"""The sockets of clients, by their own port."""


def open_socket_diagnosis() -> socket.socket:
    """A netlink socket that lists the sockets of the network namespace in which it is opened, in whichever thread."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)


def list_client_sockets(port: int, diagnosis: socket.socket | None = None) -> ClientSockets:
    """The sockets of this machine that are connected, or are being connected, to this port over IPv4.

    Also those that no process has any more: until all bytes are delivered, and the FIN of both ends has come.
    `diagnosis`: of the namespace to look into; None: that of the caller.
    """
    if diagnosis is not None:
        return _list_client_sockets(port, diagnosis)
    with open_socket_diagnosis() as opened:
        return _list_client_sockets(port, opened)


def _list_client_sockets(port: int, netlink: socket.socket) -> ClientSockets:
    wanted = sum(1 << state for state in TcpSocketState)
    request = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, wanted) + _PORTS.pack(0, port) + _REST_OF_ID
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 1, 0)
    found: dict[int, TcpSocketState] = {}
    netlink.send(header + request)
    while True:
        data = netlink.recv(1 << 16)
        while data:
            length, kind, *_ = _HEADER.unpack_from(data)
            if kind == _NLMSG_DONE:
                return found
            if kind == _NLMSG_ERROR:
                raise OSError(f"the kernel refused to list sockets: {data!r}")
            _, state, _, _, source, destination = _ANSWER.unpack_from(data, _HEADER.size)
            if destination == port:
                found[source] = TcpSocketState(state)
            data = data[(length + 3) & ~3 :]


class SocketCensus:
    """The most sockets of clients that existed at one moment; a thread lists them, and so does each call of `take()`.

    A listing takes a while: a socket that ends and one that begins meanwhile may both be in it. One that is in two
    listings, one after the other, existed at the moment between them, so those are counted.
    """

    def __init__(self, listed: Callable[[], ClientSockets]) -> None:
        self.peak = 0
        self.listings = 0
        self.overlaps: list[str] = []
        """The first moments at which there was more than one."""
        self._listed = listed
        self._last: ClientSockets = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="socket census", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ended.set()
        self._thread.join()

    def take(self) -> None:
        """List them now, twice."""
        for _ in range(2):
            self._list()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._list()

    def _list(self) -> None:
        with self._lock:
            now = self._listed()
            self.listings += 1
            at_once = self._last.keys() & now.keys()
            if len(at_once) > max(1, self.peak) and len(self.overlaps) < _OVERLAPS_KEPT:
                states = [f"{self._last[port].name} to {now[port].name} (port {port})" for port in sorted(at_once)]
                self.overlaps.append(", ".join(states))
            self.peak = max(self.peak, len(at_once))
            self._last = now
