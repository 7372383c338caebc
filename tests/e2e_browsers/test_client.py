"""The JavaScript client in Firefox and in WebKit: tabs, the durable outbox, React; the server counts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from onesocket.testing import Fault, FaultyConnection, FaultyServer
from tests.e2e.test_js_durable_outbox import MODULE as OUTBOX_MODULE
from tests.e2e.test_js_durable_outbox import OPEN as OPEN_OUTBOX
from tests.e2e.test_js_react import bundle, serving
from tests.e2e.test_js_tabs import MODES, OPEN, origin
from tests.support.terminals import ROOT
from tests.support.waiting import until

from .tab import Profile, Tab

pytestmark = pytest.mark.timeout(120)

TABS = 10
COMPONENTS = 10


async def open_tab(profile: Profile, url: str, mode: str) -> Tab:
    tab = await profile.new_tab()
    await tab.goto(url)
    await tab.evaluate(OPEN, MODES[mode])
    return tab


@pytest.mark.parametrize("mode", MODES)
async def test_ten_tabs_of_ten_components_are_one_connection(mode: str, profile: Profile) -> None:
    async with FaultyServer() as server, origin(server) as url:
        tabs = [await open_tab(profile, url, mode) for _ in range(TABS)]
        connect = f"() => Promise.all(Array.from({{ length: {COMPONENTS} }}, () => client.connect()))"
        outcomes = [each for tab in await asyncio.gather(*(tab.evaluate(connect) for tab in tabs)) for each in tab]
        assert Counter(outcomes)["opened"] == 1
        assert set(outcomes) <= {"opened", "joined", "already connected"}
        assert len(outcomes) == TABS * COMPONENTS
        await tabs[3].evaluate("() => client.send({ type: 'note', n: 1 })")
        for tab in tabs:
            await tab.wait_for("() => seen.length === 1")
        assert (server.counts.tcp_accepted, server.counts.most_open) == (1, 1)
        assert server.history[0].request_path == "/?token=s3cret"
        await asyncio.gather(*(tab.evaluate("() => client.close()") for tab in tabs))
        await server.wait_until(lambda counts: counts.open_now == 0)


async def test_a_leading_tab_that_is_closed_has_a_successor_and_never_a_second_connection(profile: Profile) -> None:
    async with FaultyServer() as server, origin(server) as url:
        tabs = [await open_tab(profile, url, "leader") for _ in range(4)]
        await tabs[0].evaluate("() => client.connect()")
        for end in range(1, 4):
            await tabs.pop(0).close()
            await server.wait_until(lambda counts, end=end: counts.upgraded == end + 1, timeout=20)  # type: ignore[misc]
            await tabs[0].wait_for("() => client.isConnected")
            await tabs[0].evaluate("(n) => client.send({ type: 'note', n })", end)
            await tabs[-1].wait_for("(n) => seen.at(-1) === n", end)
        assert server.counts.most_open == 1
        assert (await tabs[0].evaluate("() => seen")).count("reconnected") == 3


@pytest.mark.parametrize("mode", ["own", "worker", "leader"])
async def test_messages_of_a_page_that_is_closed_are_sent_once_by_the_next(mode: str, profile: Profile) -> None:
    arrived: list[str] = []

    def answer(_: FaultyConnection, message: str | bytes) -> str:
        arrived.append(json.loads(message)["id"])
        return json.dumps({"ack": arrived[-1]})

    async with FaultyServer(on_message=answer) as server:

        async def module(_: web.Request) -> web.Response:
            return web.Response(text=OUTBOX_MODULE.format(url=server.url), content_type="text/javascript")

        async with origin(server, web.get("/outbox.js", module)) as url:
            first = await profile.new_tab()
            second = await profile.new_tab()
            await first.goto(url)
            await first.evaluate(OPEN_OUTBOX, mode)
            await first.evaluate("() => Promise.all(['a', 'b', 'c'].map((id) => client.send({ id })))")
            assert server.counts.tcp_accepted == 0
            await first.close()
            await second.goto(url)
            await second.evaluate(OPEN_OUTBOX, mode)
            await second.evaluate("() => client.connect()")
            await until(lambda: len(arrived) >= 3)
            assert arrived == ["a", "b", "c"]
            assert server.counts.most_open == 1


async def test_ten_react_components_share_one_connection_also_after_a_failure(profile: Profile, tmp_path: Path) -> None:
    bundle(ROOT / "examples" / "react" / "after" / "main.tsx", tmp_path / "main.js", "--format=esm")

    def all_are(name: str) -> str:
        return f"() => document.querySelectorAll('p.{name}').length === 10"

    async with FaultyServer(faults=[Fault.refuse(503)]) as server, serving(tmp_path / "main.js", "") as url:
        tab = await profile.new_tab()
        await tab.goto(f"{url}?url={server.url}")
        await tab.wait_for(all_are("failed"))
        await tab.evaluate("() => void window.dispatchEvent(new Event('online'))")
        await tab.wait_for(all_are("connected"))
        await server.broadcast('{"type": "note", "text": "hello"}')
        await tab.wait_for(
            "() => [...document.querySelectorAll('p')].every((each) => each.textContent === 'connected: hello')"
        )
        assert (server.counts.upgraded, server.counts.refused, server.counts.most_open) == (1, 1, 1)
