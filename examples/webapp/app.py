"""A web application: however many workers it has, it holds one WebSocket upstream, and streams it to browsers.

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
KEEP_ALIVE = 15.0  # seconds; proxies hang up on a response that says nothing for long

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
  source.addEventListener("gap", () => add("(here something may be missing)"));
  source.onmessage = event => add(JSON.parse(event.data));
</script>
"""


class AppState(TypedDict):
    """What requests find in `request.state`."""

    link: SharedClient


@contextlib.asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[AppState]:
    """Each worker joins; the first one builds the connection, and if it dies another takes over."""
    async with onesocket.join(UPSTREAM, token=TOKEN, scope="host") as link:
        yield {"link": link}


def event(kind: str, data: object) -> str:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


async def messages(link: SharedClient) -> AsyncIterator[str]:
    """What comes from above, for one browser. One that is slow misses the oldest, and hurts nobody else."""
    async with link.subscribe(limit=256, overflow="drop_oldest") as stream:
        yield event("worker", {"pid": os.getpid()})
        while True:
            try:
                item = await asyncio.wait_for(anext(stream), KEEP_ALIVE)
            except TimeoutError:
                yield ": still here\n\n"
            except StopAsyncIteration:
                return
            else:
                yield event("gap", item.reason.value) if isinstance(item, Gap) else event("message", str(item))


async def events(request: Request) -> Response:
    """The messages, as server-sent events."""
    return StreamingResponse(
        messages(request.state.link), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def send(request: Request) -> Response:
    """Send the body to the server above."""
    text = (await request.body()).decode(errors="replace")
    try:
        async with asyncio.timeout(10.0):
            await request.state.link.send(text)
    except (onesocket.OnesocketError, TimeoutError) as error:
        return JSONResponse({"error": type(error).__name__, "text": str(error)}, status_code=503)
    return JSONResponse({"sent": True})


async def health(request: Request) -> Response:
    """How the shared connection stands, as this worker knows."""
    status = request.state.link.status
    return JSONResponse({"pid": os.getpid(), "state": status.state.value, "epoch": status.epoch})


async def page(_: Request) -> Response:
    """A page that shows the messages."""
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
