"""Tabs of one origin share one connection, in a headless Chromium; the server counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page

from onesocket.testing import FaultyServer
from tests.support.terminals import ROOT
from tests.support.web_app import serving
from tools.screenshots import browser

TABS = 20
COMPONENTS = 10
KILLS = 50
MODES = {"worker": "{}", "leader": "{worker: null}"}
MODULE = """
import {{ Client, Json, ReconnectPolicy, TokenQuery }} from '/src/index.js';
export default (token) => new Client('{url}', {{
  token, logger: null,
  protocol: new Json({{ event: 'type', tokenPlace: new TokenQuery() }}),
  reconnect: new ReconnectPolicy({{ initial: 0.05, cap: 0.2 }}),
}});
"""
LATE_MODULE = """
import {{ Client, Json, SnapshotHook }} from '/src/index.js';
export default () => {{
  const numbers = [];
  const messages = () => [{{ type: 'so far', n: [...numbers] }}];
  const snapshot = new SnapshotHook({{ messages, update: ({{ n }}) => numbers.push(n) }});
  return new Client('{url}', {{ logger: null, protocol: new Json({{ event: 'type', snapshot }}) }});
}};
"""
OPEN = """async (options) => {
    const { join } = await import('/src/tabs/shared-client.js');
    const { Gap } = await import('/src/index.js');
    window.seen = [];
    window.client = join('/feed.js', { token: () => 's3cret', ...eval(`(${options})`) });
    client.on((item) => seen.push(item instanceof Gap ? item.reason : item.n), { gaps: true });
}"""


@asynccontextmanager
async def origin(server: FaultyServer, *routes: web.RouteDef) -> AsyncIterator[str]:
    """A web server with the package, modules that make the client, and these routes."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>tab</title>", content_type="text/html")

    async def module(_request: web.Request) -> web.Response:
        return web.Response(text=MODULE.format(url=server.url), content_type="text/javascript")

    async def late_module(_request: web.Request) -> web.Response:
        return web.Response(text=LATE_MODULE.format(url=server.url), content_type="text/javascript")

    async def open_to_all(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Access-Control-Allow-Origin"] = "*"  # a frame in a sandbox has no origin

    app = web.Application()
    app.on_response_prepare.append(open_to_all)
    app.router.add_get("/", page)
    app.router.add_get("/feed.js", module)
    app.router.add_get("/late.js", late_module)
    app.router.add_routes(routes)
    app.router.add_static("/src", Path(ROOT) / "packages" / "onesocket-js" / "src")
    async with serving(app) as address:
        yield address


async def open_tab(context: BrowserContext, url: str, mode: str) -> Page:
    page = await context.new_page()
    await page.goto(url)
    await page.evaluate(OPEN, MODES[mode])
    return page


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as chromium:
        yield chromium


@pytest.mark.timeout(180)  # twenty tabs take their time
@pytest.mark.parametrize("mode", MODES)
async def test_twenty_tabs_of_ten_components_are_one_connection(mode: str, chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        pages = await asyncio.gather(*(open_tab(context, url, mode) for _ in range(TABS)))
        connect = f"() => Promise.all(Array.from({{length: {COMPONENTS}}}, () => client.connect()))"
        outcomes = [each for page in await asyncio.gather(*(page.evaluate(connect) for page in pages)) for each in page]
        assert len(outcomes) == TABS * COMPONENTS
        assert outcomes.count("opened") == 1
        assert set(outcomes) <= {"opened", "joined", "already connected"}
        await pages[3].evaluate("() => client.send({type: 'note', n: 1})")
        for page in pages:
            await page.wait_for_function("() => seen.length === 1")
        assert (server.counts.tcp_accepted, server.counts.most_open) == (1, 1)
        assert server.history[0].request_path == "/?token=s3cret"
        for page in pages[:-1]:
            await page.evaluate("() => client.close()")
        assert server.counts.most_open == 1
        await pages[-1].evaluate("() => client.close()")
        await server.wait_until(lambda counts: counts.open_now == 0)
        assert server.counts.most_open == 1


@pytest.mark.timeout(300)  # fifty tabs, one after the other
async def test_a_leading_tab_that_is_killed_has_a_successor_and_never_a_second_connection(chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        pages = [await open_tab(context, url, "leader") for _ in range(3)]
        await pages[0].evaluate("() => client.connect()")
        for kill in range(1, KILLS + 1):
            leader = pages.pop(0)  # the locks are granted in the order in which they were asked for
            if kill % 2:
                await leader.close()
            else:
                session = await context.new_cdp_session(leader)
                with_crash = asyncio.ensure_future(session.send("Page.crash"))
                await leader.wait_for_event("crash")
                with_crash.cancel()
            pages.append(await open_tab(context, url, "leader"))
            await server.wait_until(lambda counts, kill=kill: counts.upgraded == kill + 1, timeout=30)  # type: ignore[misc]
            await pages[1].wait_for_function("() => client.isConnected")
            await pages[1].evaluate("n => client.send({type: 'note', n})", kill)
            await pages[0].wait_for_function("n => seen.at(-1) === n", arg=kill)
        assert server.counts.most_open == 1
        assert server.counts.upgraded == KILLS + 1
        seen = await pages[0].evaluate("() => [seen.slice(0, 2), client.status.epoch]")
        assert seen[1] == KILLS + 1


async def test_a_tab_that_stays_gets_a_gap_and_errors_for_what_is_unknown(chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        leader = await open_tab(context, url, "leader")
        tab = await open_tab(context, url, "leader")
        await tab.evaluate("() => client.connect()")
        await tab.evaluate("() => client.send({type: 'note', n: 1})")
        await tab.wait_for_function("() => seen.length === 1")
        await leader.close()
        await tab.wait_for_function("() => seen.length === 2 && client.isConnected")
        await tab.evaluate("() => client.send({type: 'note', n: 2})")
        await tab.wait_for_function("() => seen.length === 3")
        assert await tab.evaluate("() => seen") == [1, "reconnected", 2]
        assert await tab.evaluate("() => [client.status.epoch, client.status.state]") == [2, "connected"]
        assert server.counts.most_open == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_disconnect_holds_for_all_tabs(mode: str, chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        first, second = [await open_tab(context, url, mode) for _ in range(2)]
        await first.evaluate("() => client.connect()")
        await second.evaluate("() => client.disconnect()")
        assert await first.evaluate("() => client.connect().catch((error) => error.name)") == "ManuallyDisconnected"
        await first.close()
        late = await open_tab(context, url, mode)
        await second.wait_for_function("() => client.state === 'stopped'")
        name = "() => client.connect().catch((error) => error.name)"
        assert await second.evaluate(name) == "ManuallyDisconnected"
        assert await late.evaluate(name) == "ManuallyDisconnected"
        assert await second.evaluate("() => client.reconnect()") == "opened"
        assert server.counts.most_open == 1


@pytest.mark.parametrize("mode", MODES)
async def test_what_cannot_be_shared_is_refused(mode: str, chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        tab = await open_tab(context, url, mode)
        await tab.evaluate("() => client.connect()")
        other = await open_tab(context, url, mode)
        name = """async ([module, options]) => {
            const { join } = await import('/src/index.js');
            return join(module, eval(`(${options})`)).connect().catch((error) => [error.name, error.option ?? '']);
        }"""
        same_key = MODES[mode].replace("{", "{key: location.origin + '/feed.js',")
        assert await other.evaluate(name, ["/other.js", same_key]) == ["OptionConflict", "module"]
        assert await other.evaluate(name, ["/missing.js", MODES[mode]]) == ["UsageError", ""]
        assert server.counts.tcp_accepted == 1


@pytest.mark.parametrize("mode", MODES)
async def test_a_tab_that_joins_late_begins_with_the_snapshot(mode: str, chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        tabs = [await context.new_page() for _ in range(2)]
        for tab in tabs:
            await tab.goto(url)
            await tab.evaluate(OPEN.replace("/feed.js", "/late.js"), MODES[mode])
            await tab.evaluate("() => client.connect()")
            for number in (1, 2):
                await tab.evaluate("n => client.send({type: 'note', n})", number)
            await tab.wait_for_function("() => seen.at(-1) === 2")
        assert await tabs[1].evaluate("() => seen") == [[1, 2], 1, 2]
        assert await tabs[0].evaluate("() => seen") == [[], 1, 2, 1, 2]
        assert server.counts.tcp_accepted == 1


async def test_a_worker_that_ends_has_a_successor(chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        first, second = [await open_tab(context, url, "worker") for _ in range(2)]
        await first.evaluate("() => client.connect()")
        session = await chromium.new_browser_cdp_session()
        targets = (await session.send("Target.getTargets"))["targetInfos"]
        (worker,) = [target["targetId"] for target in targets if target["type"] == "shared_worker"]
        await session.send("Target.closeTarget", {"targetId": worker})
        for tab in (first, second):
            await tab.wait_for_function("() => seen.includes('reconnected') && client.isConnected")
        await second.evaluate("() => client.send({type: 'note', n: 1})")
        await first.wait_for_function("() => seen.at(-1) === 1")
        assert (server.counts.upgraded, server.counts.most_open) == (2, 1)


async def test_a_reader_of_an_event_and_a_call_that_is_withdrawn(chromium: Browser) -> None:
    async with FaultyServer() as server, origin(server) as url:
        context = await chromium.new_context()
        tab = await open_tab(context, url, "worker")
        assert await tab.evaluate(
            """async () => {
                const notes = client.subscribe('note');
                await client.connect();
                await client.send({type: 'news', n: 1});
                await client.send({type: 'note', n: 2});
                const read = (await notes.next()).value;
                const signal = AbortSignal.abort(new TypeError('withdrawn'));
                return [read, await client.connect({signal}).catch((error) => error.name), client.isShared];
            }"""
        ) == [{"type": "note", "n": 2}, "TypeError", True]
        assert server.counts.most_open == 1
