"""A FastAPI application over one feed, with logs, ``/metrics`` and ``/health``: ``uvicorn app:app``.

``UPSTREAM`` is the feed's address. Needs ``onesocket[prometheus]`` and FastAPI.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

import onesocket
from onesocket import Gap, SharedClient
from onesocket.instruments import Prometheus

log = logging.getLogger("app")


async def read(client: SharedClient, recent: deque[Any]) -> None:
    """Keep the last messages."""
    async for message in client:
        if isinstance(message, Gap):
            log.warning("messages may be missing: %s", message.reason)
        else:
            recent.append(message)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Join the feed for as long as the application runs; other parts of the program may join it as well."""
    logging.basicConfig(level=logging.INFO)
    registry = app.state.registry = CollectorRegistry()
    instruments = Prometheus(registry).named("feed")
    upstream = os.environ.get("UPSTREAM", "ws://127.0.0.1:8765/")
    async with onesocket.join(upstream, scope="loop", instruments=instruments) as client:
        app.state.client, app.state.recent = client, deque(maxlen=100)
        reader = asyncio.get_running_loop().create_task(read(client, app.state.recent))
        try:
            yield
        finally:
            reader.cancel()
            await asyncio.wait([reader])


app = FastAPI(lifespan=lifespan)


@app.get("/messages")
async def messages(request: Request) -> list[str]:
    """Return the last messages."""
    return list(request.app.state.recent)


@app.get("/health")
async def health(request: Request, response: Response) -> dict[str, Any]:
    """Say whether the feed is up, and why it was lost last: 503 while it is down."""
    status = request.app.state.client.status
    response.status_code = 200 if status.is_connected else 503
    return {
        "state": status.state.value,
        "epoch": status.epoch,
        "last_loss": None if status.last_loss is None else str(status.last_loss),
        "last_lost_at": status.last_lost_at,
    }


@app.get("/metrics")
async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
