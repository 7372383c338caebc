"""A web application that holds one WebSocket upstream for all its workers, and streams its messages to browsers.

README.md beside this file says how to run it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

import onesocket
from onesocket import Gap, SharedClient

UPSTREAM = os.environ.get("UPSTREAM", "ws://127.0.0.1:8765/")
TOKEN = os.environ.get("UPSTREAM_TOKEN")
KEEP_ALIVE = 15.0  # seconds; proxies close a response without data

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>One socket, many workers</title>
<h1>Messages</h1>
<p id="worker">connecting</p>
<ul id="list"></ul>
<script>
  const list = document.getElementById("list");
  const add = text => {
    const item = document.createElement("li");
    item.textContent = text;
    list.prepend(item);
    while (list.children.length > 50) list.lastChild.remove();
  };
  const source = new EventSource("/events");
  source.addEventListener("worker", event => {
    document.getElementById("worker").textContent = "worker " + JSON.parse(event.data).pid;
  });
  source.addEventListener("gap", () => add("(messages may be missing here)"));
  source.onmessage = event => add(JSON.parse(event.data));
</script>
"""


class AppState(TypedDict):
    """The attributes of `request.state`."""

    client: SharedClient


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[AppState]:
    """Join in each worker; the first one opens the connection, and if it dies another one takes over."""
    async with onesocket.join(UPSTREAM, token=TOKEN, scope="host") as client:
        yield {"client": client}


def event(kind: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


async def messages(client: SharedClient) -> AsyncIterator[str]:
    """Messages from upstream for one browser; a slow browser misses the oldest ones, and delays no other."""
    async with client.subscribe(limit=256, overflow="drop_oldest") as stream:
        yield event("worker", {"pid": os.getpid()})
        while True:
            try:
                item = await asyncio.wait_for(anext(stream), KEEP_ALIVE)
            except TimeoutError:
                yield ": keep-alive\n\n"
            except StopAsyncIteration:
                return
            else:
                yield event("gap", item.reason.value) if isinstance(item, Gap) else event("message", str(item))


async def events(request: Request) -> Response:
    """Stream the messages as server-sent events."""
    return StreamingResponse(
        messages(request.state.client), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def send(request: Request) -> Response:
    """Send the body upstream."""
    text = (await request.body()).decode(errors="replace")
    try:
        async with asyncio.timeout(10.0):
            await request.state.client.send(text)
    except (onesocket.OnesocketError, TimeoutError) as error:
        return JSONResponse({"error": type(error).__name__, "text": str(error)}, status_code=503)
    return JSONResponse({"sent": True})


async def health(request: Request) -> Response:
    """Return the state of the shared connection, as this worker knows it."""
    status = request.state.client.status
    return JSONResponse({"pid": os.getpid(), "state": status.state.value, "epoch": status.epoch})


async def page(_: Request) -> Response:
    """Return a page that shows the messages."""
    return HTMLResponse(PAGE)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/events", events),
        Route("/messages", send, methods=["POST"]),
        Route("/health", health),
    ],
    lifespan=lifespan,
)
