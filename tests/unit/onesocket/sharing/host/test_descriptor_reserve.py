"""Descriptors that are there when none is free."""

import asyncio
import errno
import os
import socket
from typing import Any

from onesocket.sharing.host._descriptor_reserve import RESERVE_SIZE, DescriptorReserve
from onesocket.sharing.host._unix_acceptor import UnixAcceptor


def test_it_keeps_and_gives_back() -> None:
    reserve = DescriptorReserve()
    reserve.fill()
    reserve.fill()
    assert len(reserve) == RESERVE_SIZE
    kept = list(reserve._kept)
    assert all(not os.get_inheritable(number) for number in kept)
    reserve.release()
    reserve.release()
    assert len(reserve) == 0
    first = os.open(os.devnull, os.O_RDONLY)
    assert first in kept
    os.close(first)


class ExhaustedListener:
    """A listening socket of a process that has used up its descriptors: the next so many calls are refused."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.refused = asyncio.Event()
        """All of them."""
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(0)

    def fileno(self) -> int:
        return self.sock.fileno()

    def accept(self) -> Any:
        if self.refusals:
            self.refusals -= 1
            if not self.refusals:
                self.refused.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self.sock.accept()

    def close(self) -> None:
        self.sock.close()


async def test_whoever_comes_while_none_is_free_is_told_with_one_of_them() -> None:
    reserve = DescriptorReserve()
    reserve.fill()
    full = ExhaustedListener(1)
    told = asyncio.Event()

    def tell(sock: socket.socket) -> None:
        sock.sendall(b"none")
        told.set()

    def accepted(sock: socket.socket) -> None:
        raise AssertionError(sock)

    acceptor = UnixAcceptor(full, reserve, accepted, tell)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection(*full.sock.getsockname())
    async with asyncio.timeout(5):
        await told.wait()
        assert await reader.read() == b"none"
    assert len(reserve) == RESERVE_SIZE
    writer.close()
    acceptor.close()
    reserve.release()


async def test_without_any_it_pauses_until_it_is_resumed() -> None:
    reserve = DescriptorReserve()
    full = ExhaustedListener(2)
    got: list[bool] = []
    come = asyncio.Event()

    def take(sock: socket.socket, is_full: bool) -> None:
        got.append(is_full)
        sock.close()
        come.set()

    acceptor = UnixAcceptor(
        full,  # type: ignore[arg-type]
        reserve,
        lambda sock: take(sock, False),
        lambda sock: take(sock, True),
    )
    reader, writer = await asyncio.open_connection(*full.sock.getsockname())
    async with asyncio.timeout(5):
        await full.refused.wait()
        assert "paused" in repr(acceptor)
        assert got == []
        acceptor.resume()
        await come.wait()
        await reader.read()
    assert got == [False]
    writer.close()
    acceptor.close()
    assert "closed" in repr(acceptor)
    reserve.release()
