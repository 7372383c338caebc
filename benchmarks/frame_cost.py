"""The command `python -m benchmarks.frame_cost`: what a listener on picows pays for each thing it looks at in a frame.

It tells where the time between *picows, bare* and onesocket goes: a rule of RFC 6455 that the core doesn't check costs
its listener a look at each frame.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import picows

from .cores import pin
from .server_process import ServerProcess

_COUNT: Final = 200_000
_ROUNDS: Final = 7
_TEXT: Final = picows.WSMsgType.TEXT


def _nothing(_message: object) -> None:
    pass


_FIELD_READS: Final[dict[str, Callable[[Any], object]]] = {
    "nothing (a call alone)": lambda _frame: None,
    "frame.msg_type is TEXT": lambda frame: frame.msg_type is _TEXT,
    "frame.fin": lambda frame: frame.fin,
    "frame.rsv1 or frame.rsv2 or frame.rsv3": lambda frame: frame.rsv1 or frame.rsv2 or frame.rsv3,
    "frame.last_in_buffer": lambda frame: frame.last_in_buffer,
    "the subscriber's own call": _nothing,
}


class _FieldReader(picows.WSListener):
    def __init__(self, look: Callable[[Any], object]) -> None:
        self.look = look
        self.left = 0
        self.done: asyncio.Future[None] | None = None

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        del transport
        self.look(frame)
        frame.get_payload_as_utf8_text()
        self.left -= 1
        if not self.left and self.done is not None:
            self.done.set_result(None)


async def _measure(url: str, look: Callable[[Any], object]) -> float:
    """Nanoseconds of CPU for each frame."""
    listener = _FieldReader(look)
    transport, _ = await picows.ws_connect(lambda: listener, url)  # pyright: ignore[reportUnknownMemberType]
    spent = 0.0
    for count in (_COUNT // 10, _COUNT):  # the first is to warm up
        listener.left = count
        listener.done = asyncio.get_running_loop().create_future()
        started = time.process_time()
        transport.send(_TEXT, f"receive {count} 256".encode())
        await listener.done
        spent = time.process_time() - started
    transport.send_close(picows.WSCloseCode.OK)
    transport.disconnect()
    await transport.wait_disconnected()
    return spent / _COUNT * 1e9


def main() -> int:
    """Measure all of them, in a new order each round, and print what each adds."""
    pin(server=False)
    times: dict[str, list[float]] = {name: [] for name in _FIELD_READS}
    with ServerProcess() as server:
        for _ in range(_ROUNDS):
            for name in random.sample(list(_FIELD_READS), len(_FIELD_READS)):
                times[name].append(asyncio.run(_measure(server.url, _FIELD_READS[name])))
    floor = statistics.median(times["nothing (a call alone)"])
    for name, found in times.items():
        print(f"{name:40} {statistics.median(found):6.0f} ns   {statistics.median(found) - floor:+6.0f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
