"""The three trials, each in a process of its own: a peer may leave threads, tasks and sockets behind.

`python -m benchmarks.peers.trial PEER QUESTION` prints one line of JSON; the server that counts is in the same process,
and so only what the server saw is reported of sockets.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import warnings
from collections import Counter
from typing import Any, Final

from onesocket.testing import Fault, FaultyServer

from . import dialects
from .peer import PEERS, Peer

CALLERS: Final = 10
HANDSHAKE: Final = 0.15
_SETTLE: Final = 0.5
_PATIENCE: Final = 3.0

Answer = dict[str, Any]


def _server(peer: Peer) -> FaultyServer:
    return dialects.server(peer.greeting, peer.reply, peer.subprotocols)


async def ten_callers(peer: Peer, _seconds: float) -> Answer:
    """Ten callers at once, against a server that takes 150 ms; then one close."""
    async with _server(peer) as server:
        server.faults = Fault.slow_upgrade(HANDSHAKE)
        handle = peer.make(server.url)
        tasks = [asyncio.ensure_future(handle.connect()) for _ in range(CALLERS)]
        await asyncio.sleep(0)
        early: list[float] = []
        begun = asyncio.get_running_loop().time()
        for task in tasks:
            task.add_done_callback(lambda _task: early.append(asyncio.get_running_loop().time() - begun))
        await asyncio.wait(tasks, timeout=_PATIENCE)
        await asyncio.sleep(_SETTLE)
        open_then = server.counts.open_now
        outcomes = Counter(_outcome(task) for task in tasks)
        outcomes["returned before it was connected"] = sum(moment < HANDSHAKE * 0.9 for moment in early) - sum(
            count for name, count in outcomes.items() if name.startswith("raised")
        )
        if outcomes["returned before it was connected"] > 0:
            outcomes["returned"] -= outcomes["returned before it was connected"]
        await _bounded(handle.close())
        await asyncio.sleep(_SETTLE)
        return {
            "handshakes": server.counts.handshakes,
            "most": server.counts.most_open,
            "open": open_then,
            "after_close": server.counts.open_now,
            "outcomes": {name: count for name, count in outcomes.items() if count > 0},
        }


async def cancelled_caller(peer: Peer, _seconds: float) -> Answer:
    """Cancel one caller in the middle of the handshake, and count the sockets that stay open."""
    async with _server(peer) as server:
        server.faults = Fault.slow_upgrade(HANDSHAKE)
        handle = peer.make(server.url)
        task = asyncio.ensure_future(handle.connect())
        await asyncio.wait([task], timeout=HANDSHAKE / 2)
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE)
        await asyncio.sleep(HANDSHAKE + _SETTLE)
        answer = {"handshakes": server.counts.handshakes, "open": server.counts.open_now}
        await _bounded(handle.close())
        return answer


async def closed_at_once(peer: Peer, seconds: float) -> Answer:
    """Count the reconnections to a server that closes each connection at once."""
    async with _server(peer) as server:
        server.faults = Fault.accept_then_close(1000)
        handle = peer.make(server.url)
        staying = asyncio.ensure_future((handle.stays or handle.connect)())
        await asyncio.sleep(seconds)
        answer = {"handshakes": server.counts.handshakes, "seconds": seconds}
        staying.cancel()
        await asyncio.wait([staying], timeout=1.0)
        await _bounded(handle.close())
        return answer


QUESTIONS: Final = {"ten": ten_callers, "cancelled": cancelled_caller, "hammer": closed_at_once}


def _outcome(task: asyncio.Future[Any]) -> str:
    if not task.done():
        return "hangs"
    if task.cancelled():
        return "cancelled"
    error = task.exception()
    return "returned" if error is None else f"raised {type(error).__name__}"


async def _bounded(closing: Any) -> None:
    await asyncio.wait([asyncio.ensure_future(closing)], timeout=2.0)


def main(name: str, question: str, seconds: str) -> None:
    """Ask, answer, and end at once, whatever the peer has left running."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    peer = next(peer for peer in PEERS if peer.name == name)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    async def ask() -> None:
        """Run one trial."""
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        answer = await QUESTIONS[question](peer, float(seconds))
        out.write(json.dumps(answer) + "\n")
        out.flush()
        os._exit(0)

    asyncio.run(ask())


if __name__ == "__main__":
    main(*sys.argv[1:])
