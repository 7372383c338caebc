"""A client process: one event loop, one subject at a time; orders from stdin, answers on stdout, as lines of JSON.

Orders: ``{"subject", "scenario", "count", "size"}`` is answered by ``{"cpu", "wall", "each"}``, and
``{"memory": subject, "count"}`` by ``{"bytes"}`` for each idle client. What goes wrong is answered by ``{"error"}``.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from .cores import pin
from .loops import loop_factory
from .subjects import SUBJECTS, Subject
from .workload import Sample, Workload

_LIMIT = 60.0


def _address(url: str, subject: str) -> str:
    """A path of its own; nothing that the two loops share."""
    return f"{url}/{'-'.join(subject.split())}-{os.getpid()}"


_lasting: dict[str, Subject] = {}


async def measure(url: str, subject: str, work: Workload) -> Sample:
    """Open, warm up, do exactly the work, close; what lasts is left open."""
    actor = _lasting.get(subject)
    async with asyncio.timeout(_LIMIT):
        if actor is None:
            actor = SUBJECTS[subject](_address(url, subject))
            await actor.open()
        try:
            await actor.warm_up(work)
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            own = await actor.run(work)
            sample = Sample(time.process_time() - cpu, time.perf_counter() - wall)
        finally:
            if actor.lasting:
                _lasting[subject] = actor
            else:
                await actor.close()
    return own if own is not None else sample


async def close_lasting() -> None:
    """Close what was left open."""
    while _lasting:
        _, actor = _lasting.popitem()
        async with asyncio.timeout(_LIMIT):
            await actor.close()


async def memory(url: str, subject: str, count: int) -> float:
    """Bytes of resident memory for each idle client, beyond what the first one brought."""
    kind = SUBJECTS[subject]
    actors = [kind(_address(url, subject))]
    async with asyncio.timeout(_LIMIT):
        await actors[0].open()
        gc.collect()
        before = _resident()
        for _ in range(count):
            actors.append(actors[0].another())
            await actors[-1].open()
        gc.collect()
        after = _resident()
        for actor in reversed(actors):  # the scopes of anyio, under httpx-ws, are nested
            await actor.close()
    return (after - before) / count


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except FileNotFoundError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


async def _obey(url: str, order: dict[str, Any]) -> dict[str, Any]:
    if "memory" in order:
        return {"bytes": await memory(url, order["memory"], order["count"])}
    sample = await measure(url, order["subject"], Workload(order["scenario"], order["count"], order["size"]))
    return {"cpu": sample.cpu, "wall": sample.wall, "each": sample.each}


def main(url: str, loop: str) -> None:
    """Obey until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    pin(server=False)
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        for line in sys.stdin:
            try:
                answer = runner.run(_obey(url, json.loads(line)))
            except Exception as error:  # noqa: BLE001 - the one who gave the order decides
                answer = {"error": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        runner.run(close_lasting())


if __name__ == "__main__":
    main(*sys.argv[1:])
