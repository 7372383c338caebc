"""The worker's side of `WorkerProcess`: reads orders as JSON lines from stdin, and answers them on stdout."""

from __future__ import annotations

import asyncio
import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from onesocket import OnesocketError

EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
"""Exit status of a worker that Ctrl-C has ended; without `run_worker` it would be that of the signal."""
_LINE_LIMIT: Final = 1 << 24

Order = dict[str, Any]


def setup() -> Any:
    """The value that `WorkerProcess.start` was given. From now on SIGUSR1 writes the stacks to stderr."""
    faulthandler.register(signal.SIGUSR1)
    return json.loads(sys.argv[1])


def run_worker(main: Callable[[], object]) -> None:
    """Run a worker's program. Ctrl-C ends it with a status of its own; what the program left open stays so."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def write_event(event: str, **more: Any) -> None:
    """Write one line at once, so that an event of a process that is killed is not lost."""
    data = json.dumps({"event": event, "at": time.monotonic(), **more}).encode() + b"\n"
    while data:
        data = data[os.write(1, data) :]


async def serve_orders(perform: Callable[[Order], Awaitable[Any]], *, last: str | None = "close") -> None:
    """Answer orders with the results of `perform`, several at a time, until stdin ends or the order `last` is done."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=_LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await orders.readline():
        order = json.loads(line)
        task = loop.create_task(_answer(perform, order))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if order["do"] == last:
            await task
            return


async def _answer(perform: Callable[[Order], Awaitable[Any]], order: Order) -> None:
    try:
        result = await perform(order)
    except Exception as error:  # noqa: BLE001 - each one is an answer
        option = getattr(error, "option", None)
        if not isinstance(error, OnesocketError):
            write_event("wrong", text=f"{order['do']}: {type(error).__name__}: {error}")
        write_event("error", order=order["order"], kind=type(error).__name__, text=str(error), option=option)
    else:
        write_event("done", order=order["order"], result=result)
