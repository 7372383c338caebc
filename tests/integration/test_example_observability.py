"""examples/observability: a FastAPI application, a script and a notebook, against a server that counts and closes."""

from __future__ import annotations

import asyncio
import importlib
import logging
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from onesocket import State
from onesocket.testing import Fault, FaultyServer
from tests.support.notebooks import run_notebook
from tests.support.waiting import until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "observability"


@pytest.fixture(autouse=True)
def _root_log() -> Iterator[None]:
    """`basicConfig` of an example must not outlive the test."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(importlib.sys.modules, name, raising=False)  # type: ignore[attr-defined]
        return importlib.import_module(name)

    return load


def values(text: str) -> dict[str, float]:
    """The sum of each metric over its labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


async def test_the_application_shows_its_feed(
    server: FaultyServer, load: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("UPSTREAM", server.url)
    caplog.set_level(logging.INFO)
    app = load("app").app
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        await server.broadcast("one")
        await until(lambda: len(app.state.recent) == 1)
        assert (await http.get("/messages")).json() == ["one"]
        health = await http.get("/health")
        assert (health.status_code, health.json()["state"], health.json()["last_loss"]) == (200, "connected", None)
        server.faults = Fault.refuse(503)
        await server.close_connections(1012)
        await app.state.client.wait_for(State.BACKING_OFF)
        health = await http.get("/health")
        assert health.status_code == 503
        assert health.json()["last_loss"] == "the server closed the connection with 1012 (service restart)"
        server.faults = None
        await app.state.client.reconnect()
        await server.broadcast("two")
        await until(lambda: len(app.state.recent) == 2)
        answer = await http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        shown = values(answer.text)
        assert shown["onesocket_client_received_messages_total"] == 2
        assert shown["onesocket_client_connection_reconnects_total"] == 1
        assert 'onesocket_connection_name="feed"' in answer.text
    told = [record.getMessage() for record in caplog.records if record.name in ("onesocket", "app")]
    assert any("connection lost: the server closed the connection with 1012" in text for text in told)
    assert "messages may be missing: reconnected" in told


async def test_the_script_serves_its_metrics(
    server: FaultyServer, load: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = prometheus_client.CollectorRegistry()
    served: list[int] = []

    def serve(port: int, addr: str) -> Any:
        http, thread = prometheus_client.start_http_server(port, addr, registry)
        served.append(http.server_port)
        return http, thread

    script = load("script")
    monkeypatch.setattr(script, "start_http_server", serve)
    monkeypatch.setattr("prometheus_client.REGISTRY", registry)
    caplog.set_level(logging.INFO)
    running = asyncio.get_running_loop().create_task(script.main(server.url, 0, count=2))
    await server.wait_until(lambda counts: counts.upgraded == 1)
    await server.broadcast("one")
    await server.close_connections(1012)
    await server.wait_until(lambda counts: counts.upgraded == 2)

    def scrape() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{served[0]}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    shown = values(await asyncio.to_thread(scrape))
    assert shown["onesocket_client_received_messages_total"] == 1
    await server.broadcast("two")
    await asyncio.wait_for(running, 10)
    told = [record.getMessage() for record in caplog.records if record.name == "feed"]
    assert told == [
        "epoch 1: closing",
        "epoch 1: backing off",
        "epoch 2: connecting",
        "epoch 2: connected",
        "messages may be missing: reconnected",
        f"2 messages, {2 * len('..one') + 4} bytes, 1 reconnects",
        "epoch 2: closing",
        "epoch 2: closed",
    ]


async def test_the_notebook_runs_from_top_to_bottom(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("URL", server.url)
    results = await run_notebook(EXAMPLES / "notebook.ipynb")
    assert results[2] == "hello"
    assert results[3] == (State.CONNECTED, 2, None)
    states, reconnects, received = results[4]
    assert (states, reconnects) == (["connecting", "connected", "closing", "connecting", "connected"], 1)
    assert received > len("hello")
    assert 'onesocket_client_sent_messages_total{onesocket_connection_name="notebook"' in capsys.readouterr().out
