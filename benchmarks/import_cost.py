"""The cost of `import`, by `python -X importtime`, in a fresh interpreter each time."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Final

from .record import Record

# What a program writes that wants one client.
STATEMENTS: Final = {
    "onesocket": "import onesocket",
    "picows": "import picows",
    "picows.websockets": "import picows.websockets",
    "aiohttp": "import aiohttp",
    "websockets": "import websockets.asyncio.client",
    "python-socketio": "import socketio",
    "websocket-client": "import websocket",
    "httpx-ws": "import httpx_ws",
    "asyncio alone": "import asyncio",
}


def measure_imports(record: Record, rounds: int) -> None:
    """All of them, so many times, in a new order each time; those that aren't installed are left out."""
    names = list(STATEMENTS)
    for _ in range(rounds):
        random.shuffle(names)
        for name in names:
            cost = import_cost(STATEMENTS[name])
            if cost is not None:
                kept = record.imports.setdefault(name, {"ms": [], "modules": []})
                kept["ms"].append(cost[0])
                kept["modules"].append(cost[1])
    record.imports = {name: record.imports[name] for name in STATEMENTS if name in record.imports}


def import_cost(statement: str) -> tuple[float, int] | None:
    """Milliseconds and modules beyond those of a bare interpreter; None when it can't be imported."""
    # `site` may have imported this and that; -I and -S keep that out, and sys.path is handed over.
    code = f"import sys; sys.path[:] = {sys.path!r}; {statement}"
    command = (sys.executable, "-I", "-X", "importtime", "-c", code)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own
    if done.returncode:
        return None
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines() if "|" in line][1:]
    # What is indented was imported by a module listed below it. The statement's own are those after `site`.
    after_site = next((place + 1 for place, row in enumerate(rows) if row[2].strip() == "site"), 0)
    mine = rows[after_site:]
    return sum(int(row[0]) for row in mine) / 1000, len(mine)
