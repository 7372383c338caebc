"""One of the processes: `python -m benchmarks.interprocess.worker_main FD CARRIER ROLE ADDRESS LOOP`.

FD is a socket to the process that measures; both sides say lines of JSON there. It ends when that socket does.

Orders to a producer: ``{"burst": COUNT, "size"}`` and ``{"paced": COUNT, "size", "rate"}``, answered when all is handed
over. To a consumer: ``{"expect": COUNT, "stamped": bool}``, answered at once by ``{"ready": 1}`` and after so many
messages by ``{"taken": COUNT, "late": [seconds, ...]}``. To both: ``{"cpu": 1}``, the seconds so far.
A `watcher` has no orders: it says ``{"connection": N, "at": time}`` at the first message of each connection. A
`sharer` gets ``{"work": scenario, "count", "size"}``, answered by ``{"cpu", "wall"}`` of that.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from ..loops import loop_factory
from ..workload import Sample, Workload
from .base import Consumer, MessageCallback, Producer

CARRIERS: Final[dict[str, tuple[str, str, str]]] = {
    "onesocket": ("onesocket_host", "HostProducer", "HostConsumer"),
    "onesocket-offered": ("onesocket_host", "OwnLoopProducer", "OwnLoopConsumer"),
    "onesocket-owner-thread": ("onesocket_host", "ThreadProducer", "HostConsumer"),
    "onesocket-blocking": ("onesocket_host", "HostProducer", "BlockingConsumer"),
    "bare": ("unix_socket", "UnixSocketProducer", "UnixSocketConsumer"),
    "nats": ("nats", "NatsProducer", "NatsConsumer"),
    "redis": ("redis", "RedisProducer", "RedisConsumer"),
    "onesocket-cluster": ("onesocket_cluster", "ClusterProducer", "ClusterConsumer"),
    "onesocket-cluster-plain": ("without_hiredis", "ClusterProducer", "ClusterConsumer"),
    "redis-stream": ("redis_stream", "RedisStreamProducer", "RedisStreamConsumer"),
    "redis-stream-plain": ("without_hiredis", "RedisStreamProducer", "RedisStreamConsumer"),
    "nats-stream": ("nats_stream", "NatsStreamProducer", "NatsStreamConsumer"),
}
STAMP: Final = 20
"""Digits of a time in nanoseconds, at the beginning of a message; the clock is the same in all processes."""


class DeliveryCounter:
    """A consumer's messages. It may be called in another thread than the rest."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._left = self._wanted = 0
        self._late: list[int] | None = None

    def expect(self, count: int, *, stamped: bool) -> None:
        """So many will come."""
        self._left = self._wanted = count
        self._late = [] if stamped else None

    def take(self, message: str | bytes) -> None:
        """Count a message."""
        if self._late is not None:
            self._late.append(time.monotonic_ns() - int(message[:STAMP]))
        self._left -= 1
        if not self._left:
            write_line(self._control, taken=self._wanted, late=[late / 1e9 for late in self._late or ()])


class ConnectionCounter:
    """Reports the first message of each connection, whose number begins each message."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._number = ""

    def take(self, message: str | bytes) -> None:
        """Count a message."""
        number = str(message).partition(" ")[0]
        if number != self._number:
            at = time.monotonic()
            self._number = number
            write_line(self._control, connection=int(number), at=at)


def write_line(control: socket.socket, **what: Any) -> None:
    """Write one line of JSON."""
    control.sendall(json.dumps(what).encode() + b"\n")


def _part(carrier: str, place: int) -> Any:
    module = importlib.import_module(f".{CARRIERS[carrier][0]}", __package__)
    return getattr(module, CARRIERS[carrier][place])


async def _produce(producer: Producer, order: dict[str, Any]) -> None:
    if "burst" in order:
        await producer.burst("x" * order["size"], order["burst"])
        return
    loop = asyncio.get_running_loop()
    filler = "x" * (order["size"] - STAMP)
    due = loop.time()
    for _ in range(order["paced"]):
        due += 1 / order["rate"]
        await asyncio.sleep(due - loop.time())
        await producer.one(lambda: f"{time.monotonic_ns():0{STAMP}d}{filler}")


async def _orders(control: socket.socket) -> AsyncIterator[dict[str, Any]]:
    """Say that all is open, and return the orders; that for the CPU time is obeyed here."""
    write_line(control, open=1)
    reader, _ = await asyncio.open_connection(sock=control.dup())
    while line := await reader.readline():
        order: dict[str, Any] = json.loads(line)
        if "cpu" in order:
            write_line(control, cpu=time.process_time())
        else:
            yield order


async def _serve(control: socket.socket, carrier: str, role: str, address: str) -> None:
    counter = DeliveryCounter(control)
    take: MessageCallback = ConnectionCounter(control).take if role == "watcher" else counter.take
    actor: Producer | Consumer = _part(carrier, 1)(address) if role == "producer" else _part(carrier, 2)(address, take)
    await actor.open()
    async for order in _orders(control):
        if "expect" in order:
            counter.expect(order["expect"], stamped=order["stamped"])
            write_line(control, ready=1)
        elif isinstance(actor, Producer):
            await _produce(actor, order)
            write_line(control, handed=1)
    await actor.close()


async def _serve_sharer(control: socket.socket, address: str) -> None:
    module = importlib.import_module("..subjects.shared_connection", __package__)
    sharer = module.HostSharer(address)
    await sharer.open()
    async for order in _orders(control):
        wall, cpu = time.perf_counter(), time.process_time()
        own = await sharer.run(Workload(order["work"], order["count"], order["size"]))
        sample = own or Sample(time.process_time() - cpu, time.perf_counter() - wall)
        write_line(control, cpu=sample.cpu, wall=sample.wall)
    await sharer.close()


def main(fd: str, carrier: str, role: str, address: str, loop: str) -> None:
    """Until the socket ends."""
    with socket.socket(fileno=int(fd)) as control, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        serve = _serve_sharer(control, address) if role == "sharer" else _serve(control, carrier, role, address)
        runner.run(serve)


if __name__ == "__main__":
    main(*sys.argv[1:])
