"""Pages that the browser stops, or keeps in the back/forward cache, in a headless Chromium; the server counts."""

import json
import os
import signal
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, async_playwright

from onesocket.testing import FaultyServer
from tests.e2e.test_js_tabs import MODES, OPEN, open_tab, origin
from tools.screenshots import find_chromium

OPENS = {
    "own": OPEN.replace("join('/feed.js', {", "(await import('/feed.js')).default(() => 's3cret', {"),
    **dict.fromkeys(MODES, OPEN),
}
NAME = "() => client.connect().catch((error) => error.name)"


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """A browser that keeps pages for the way back, as browsers do unless they are automated."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox"],
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def process_of(page: Page, browser: Browser) -> int:
    """The process that renders a page: the one that works while the page does."""
    session = await browser.new_browser_cdp_session()

    async def busy() -> dict[int, float]:
        found = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
        return {each["id"]: each["cpuTime"] for each in found if each["type"] == "renderer"}

    before = await busy()
    while True:  # on a busy machine another one may have worked more for a moment
        await page.evaluate("() => { const end = performance.now() + 300; while (performance.now() < end); }")
        gained = {process: spent - before.get(process, spent) for process, spent in (await busy()).items()}
        most, *others = sorted(gained, key=lambda process: gained[process], reverse=True)
        if gained[most] > 0.2 and all(gained[most] > 3 * gained[other] for other in others):
            return most


# Twenty seconds of this tab pass in one.
FAST = """{worker: null, platform: {
    now: () => performance.now() / 50,
    setTimer: (seconds, call) => { const id = setTimeout(call, seconds * 50); return () => clearTimeout(id); },
}}"""


async def test_a_leading_tab_that_is_stopped_keeps_the_connection_and_the_others_are_told(chromium: Browser) -> None:
    # Playwright keeps pages visible, and those the browser doesn't freeze when the protocol of its tools asks for that.
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        leader = await open_tab(context, url, "leader")
        process = await process_of(leader, chromium)
        tab = await context.new_page()
        await tab.goto(url)
        await tab.evaluate(OPEN, FAST)
        await tab.evaluate("() => client.connect()")
        os.kill(process, signal.SIGSTOP)
        try:
            await server.send(json.dumps({"type": "note", "n": 1}))
            assert await tab.evaluate(NAME) == "OwnerSilent"
            assert await tab.evaluate("() => [client.state, seen]") == ["connected", []]
        finally:
            os.kill(process, signal.SIGCONT)
        await tab.wait_for_function("() => seen.length === 1")
        assert await tab.evaluate(NAME) == "already connected"
        assert (server.counts.tcp_accepted, server.counts.open_now) == (1, 1)


async def away_and_back(page: Page, url: str) -> None:
    """Leave a page for one of another site, and go back to it as it was."""
    await page.evaluate(
        """() => {
            window.shows = [];
            addEventListener('pageshow', ({persisted}) => shows.push(persisted));
        }"""
    )
    await page.goto(url.replace("127.0.0.1", "localhost"))
    await page.evaluate("() => { setTimeout(() => history.back()); }")
    await page.wait_for_function("() => globalThis.shows?.length === 1")
    assert await page.evaluate("() => shows") == [True]


@pytest.mark.parametrize("kind", ["own", *MODES])
async def test_a_page_that_comes_back_from_the_cache_is_connected_once_and_told_of_the_gap(
    chromium: Browser, kind: str
) -> None:
    async with FaultyServer() as server, origin(server) as url:
        page = await chromium.new_page()
        await page.goto(url)
        await page.evaluate(OPENS[kind], MODES.get(kind, "{}"))
        await page.evaluate("() => client.connect()")
        await away_and_back(page, url)
        await page.wait_for_function("() => seen.length === 1 && client.isConnected")
        await page.evaluate("() => client.send({type: 'note', n: 1})")
        await page.wait_for_function("() => seen.length === 2")
        assert await page.evaluate("() => seen") == ["reconnected", 1]
        await server.wait_until(lambda counts: counts.open_now == 1)
        assert (server.counts.upgraded, server.counts.most_open) == (2, 1)


async def test_a_leading_tab_in_the_cache_has_a_successor(chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        leader, tab = [await open_tab(context, url, "leader") for _ in range(2)]
        await tab.evaluate("() => client.connect()")
        await leader.goto(url.replace("127.0.0.1", "localhost"))
        await tab.evaluate("() => client.connect()")
        await tab.wait_for_function("() => seen.includes('reconnected') && client.isConnected")
        await tab.evaluate("() => client.send({type: 'note', n: 1})")
        await tab.wait_for_function("() => seen.at(-1) === 1")
        assert (server.counts.upgraded, server.counts.most_open) == (2, 1)
