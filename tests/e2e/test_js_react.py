"""The React binding, and the example with the report's own shape before and after; the server counts."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page

from onesocket.testing import Fault, FaultyServer
from tests.support.node_script import NODE
from tests.support.terminals import ROOT
from tests.support.waiting import until
from tests.support.web_app import serving as serving_app
from tools.screenshots import browser

PACKAGE = ROOT / "packages" / "onesocket-js"
PAGE = ROOT / "tests" / "js" / "react_page.tsx"
HYDRATED = ROOT / "tests" / "js" / "react_hydrated_page.tsx"
HTML = '<!doctype html><div id="root">{}</div><script type="module" src="main.js"></script>'
ALIASES = {"onesocket": PACKAGE / "src" / "index.js", "onesocket/react": PACKAGE / "src" / "react" / "index.js"}


def bundle(entry: Path, output: Path, *options: str) -> None:
    """Bundle a page with esbuild and React, which `make js` has installed."""
    aliases = [f"--alias:{name}={path}" for name, path in sorted(ALIASES.items(), reverse=True)]
    command = [NODE, str(PACKAGE / "node_modules" / "esbuild" / "bin" / "esbuild"), str(entry), "--bundle"]
    command += ["--jsx=automatic", f"--outfile={output}", "--log-level=warning", *aliases, *options]
    environment = {**os.environ, "NODE_PATH": str(PACKAGE / "node_modules")}
    subprocess.run(command, check=True, timeout=50, env=environment)  # noqa: S603 - of the project


@asynccontextmanager
async def serving(script: Path, html: str) -> AsyncIterator[str]:
    """A web server with a page of this script."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=HTML.format(html), content_type="text/html")

    async def main(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(script, headers={"Content-Type": "text/javascript"})

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/main.js", main)
    async with serving_app(app) as url:
        yield url


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as chromium:
        yield chromium


@asynccontextmanager
async def opened(
    entry: Path,
    server: FaultyServer,
    chromium: Browser,
    folder: Path,
    *,
    noted: list[str] | None = None,
    html: str = "",
) -> AsyncIterator[Page]:
    """The page of an entry point, connected to the server; what it writes to the console is `noted`."""
    bundle(entry, folder / "main.js", "--format=esm")
    async with serving(folder / "main.js", html) as url:
        page = await chromium.new_page()
        texts = [] if noted is None else noted
        page.on("console", lambda message: texts.append(message.text))
        await page.goto(f"{url}?url={server.url}")
        yield page


# --- the example ------------------------------------------------------------------------------------------------------


ONLINE = "() => window.dispatchEvent(new Event('online'))"


async def test_the_shape_of_the_report_keeps_two_after_a_failure(chromium: Browser, tmp_path: Path) -> None:
    entry = ROOT / "examples" / "react" / "before" / "main.tsx"
    noted: list[str] = []
    async with (
        FaultyServer(faults=[Fault.refuse(503)]) as server,
        opened(entry, server, chromium, tmp_path, noted=noted) as page,
    ):
        await until(lambda: any("failed: Error" in text for text in noted))
        await page.evaluate(ONLINE)
        await server.wait_until(lambda counts: counts.most_open == 2, timeout=20)


async def test_ten_components_mounted_twice_share_one_also_after_a_failure(chromium: Browser, tmp_path: Path) -> None:
    entry = ROOT / "examples" / "react" / "after" / "main.tsx"
    async with (
        FaultyServer(faults=[Fault.refuse(503)]) as server,
        opened(entry, server, chromium, tmp_path) as page,
    ):
        await page.wait_for_function("() => document.querySelectorAll('p.failed').length === 10")
        assert "Connection Failed" in await page.inner_text("li")
        await page.evaluate(ONLINE)
        await page.wait_for_function("() => document.querySelectorAll('p.connected').length === 10")
        await server.broadcast('{"type": "note", "text": "hello"}')
        await page.wait_for_function(
            "() => [...document.querySelectorAll('p')].every((each) => each.textContent === 'connected: hello')"
        )
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_function("() => document.querySelectorAll('p.stopped').length === 10")
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_function("() => document.querySelectorAll('p.connected').length === 10")
        assert (server.counts.upgraded, server.counts.refused, server.counts.most_open) == (2, 1, 1)


async def test_the_example_of_the_documents_runs(chromium: Browser, tmp_path: Path) -> None:
    (example,) = re.findall(r"```jsx\n(.*?)```", (ROOT / "docs" / "browser.md").read_text("utf-8"), re.DOTALL)
    assert example.count("…") == 1
    entry = tmp_path / "example.jsx"
    entry.write_text(
        f"""
        import {{ useEffect, useState }} from 'react';
        import {{ createRoot }} from 'react-dom/client';
        const fetchTicket = async () => 'a ticket';
        {example.replace("…", "return <p>{state} {notes.map(({text}) => text)} {notices.length}</p>;")}
        createRoot(document.getElementById('root')).render(<App user={{{{ id: 'alice' }}}} />);
        """.replace("'wss://feed.example/'", "new URLSearchParams(location.search).get('url')"),
        "utf-8",
    )
    async with FaultyServer() as server, opened(entry, server, chromium, tmp_path) as page:
        await page.wait_for_function("() => document.querySelector('p')?.textContent.startsWith('connected')")
        await server.broadcast('{"type": "note", "text": "hello"}')
        await page.wait_for_function("() => document.querySelector('p').textContent === 'connected hello 0'")
        assert server.history[0].request_path == "/?token=a+ticket"


# --- the binding ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def mounted(server: FaultyServer, chromium: Browser, folder: Path, props: str = "{}") -> AsyncIterator[Page]:
    async with opened(PAGE, server, chromium, folder) as page:
        await page.evaluate(f"() => page.mount({props})")
        yield page


async def test_a_hot_reload_that_mounts_anew_keeps_the_connection(chromium: Browser, tmp_path: Path) -> None:
    async with FaultyServer() as server, mounted(server, chromium, tmp_path) as page:
        await page.wait_for_function("() => connection.isConnected")
        for version in (2, 3, 4):
            await page.evaluate("(version) => page.mount({version})", version)
        await page.evaluate("() => connection.send({type: 'note', n: 1})")
        await page.wait_for_function("() => seen.length === 2")
        assert await page.evaluate("() => [seen, failures, connection.isConnected]") == [[1, 1], [], True]
        assert server.counts.tcp_accepted == 1
        await page.evaluate("() => page.unmount()")
        await server.wait_until(lambda counts: counts.open_now == 0)
        assert server.counts.close_codes == {1000: 1}


async def test_readers_go_on_over_a_loss_and_another_user(chromium: Browser, tmp_path: Path) -> None:
    async with FaultyServer() as server, mounted(server, chromium, tmp_path, "{user: 'alice'}") as page:
        await page.wait_for_function("() => connection.isConnected")
        server.kill_connections()
        await page.wait_for_function("() => seen.length === 2 && connection.isConnected")
        await page.evaluate("() => { window.token = 'of-bob'; page.mount({user: 'bob'}); }")
        await server.wait_until(lambda counts: counts.upgraded == 3)
        await page.wait_for_function("() => connection.isConnected")
        await page.evaluate("() => connection.send({type: 'note', n: 1})")
        await page.wait_for_function("() => seen.length === 4")
        assert await page.evaluate("() => seen") == ["reconnected", "reconnected", 1, 1]
        assert server.history[-1].request_path == "/?token=of-bob"
        await page.evaluate("() => page.mount({user: null})")
        await server.wait_until(lambda counts: counts.open_now == 0)
        await page.wait_for_function("() => connection.state === 'stopped'")
        assert server.counts.most_open == 1


async def test_keys_of_components_are_subscribed_to_while_one_of_them_wants_them(
    chromium: Browser, tmp_path: Path
) -> None:
    async with FaultyServer() as server, mounted(server, chromium, tmp_path, "{keys: [['a', 'b'], ['b']]}") as page:
        seen = 0

        async def asked() -> list[object]:
            """The frames about keys since the last time: a message that is sent now comes behind them."""
            nonlocal seen
            # Effects of a rendering come after it has been painted.
            await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
            await page.evaluate("n => connection.send({type: 'mark', n})", seen)
            await server.wait_until(lambda _: json.loads(server.received[-1]) == {"type": "mark", "n": seen})
            frames = [json.loads(frame) for frame in server.received[seen:-1]]
            seen = len(server.received)
            return frames

        await page.wait_for_function("() => connection.isConnected")
        assert await asked() == [{"subscribe": ["a", "b"]}]
        await page.evaluate("() => page.mount({keys: [['a', 'b'], ['b']]})")  # other lists, the same keys
        assert await asked() == []
        await page.evaluate("() => page.mount({keys: [['c', 'b'], ['b']]})")
        assert await asked() == [{"unsubscribe": ["a"]}, {"subscribe": ["c"]}]
        await page.evaluate("() => page.mount({keys: [['c']]})")
        assert await asked() == [{"unsubscribe": ["b"]}]
        for key in "abc":
            await server.send(json.dumps({"key": key}))
        await page.wait_for_function("() => seen.includes('c of c')")
        assert [item for item in await page.evaluate("() => seen") if " of " in str(item)] == ["c of c"]
        server.kill_connections()
        await server.wait_until(lambda counts: counts.upgraded == 2)
        await page.wait_for_function("() => connection.isConnected")
        assert await asked() == [{"subscribe": ["c"]}]
        await page.evaluate("() => page.mount({keys: []})")
        assert await asked() == [{"unsubscribe": ["c"]}]
        assert server.counts.most_open == 1


async def test_a_tree_that_is_suspended_keeps_the_connection(chromium: Browser, tmp_path: Path) -> None:
    async with FaultyServer() as server, mounted(server, chromium, tmp_path) as page:
        await page.wait_for_function("() => connection.isConnected")
        await page.clock.install()
        await page.evaluate("() => page.suspend()")
        await page.wait_for_selector("#waiting", state="attached")
        await page.clock.fast_forward(5_000)
        await page.evaluate("() => page.resume()")
        await page.wait_for_selector("#waiting", state="detached")
        await page.evaluate("() => connection.send({type: 'note', n: 1})")
        await page.wait_for_function("() => seen.length === 2")
        assert (server.counts.tcp_accepted, server.counts.open_now) == (1, 1)


async def test_another_user_while_the_first_one_is_connected_is_the_one_who_is(
    chromium: Browser, tmp_path: Path
) -> None:
    async with FaultyServer() as server, opened(PAGE, server, chromium, tmp_path) as page:
        await page.evaluate("() => { window.token = new Promise(() => {}); page.mount({user: 'alice'}); }")
        await page.wait_for_function("() => connection.isConnecting")
        await page.evaluate("() => { window.token = 'of-bob'; page.mount({user: 'bob'}); }")
        await page.wait_for_function("() => connection.isConnected")
        assert [connection.request_path for connection in server.history] == ["/?token=of-bob"]


async def test_nobody_signed_in_opens_nothing_and_a_failure_is_a_notice(chromium: Browser, tmp_path: Path) -> None:
    async with FaultyServer(faults=[Fault.refuse(503)]) as server, mounted(server, chromium, tmp_path) as page:
        await page.wait_for_function("() => notices.includes('connection-failed')")
        await page.evaluate("() => connection.connect()")
        await page.wait_for_function("() => connection.isConnected && notices.length === 0")
        await page.evaluate("async () => { await connection.logout(); window.token = null; }")
        assert await page.evaluate("() => connection.login()") == "not authenticated"
        assert (server.counts.upgraded, server.counts.open_now) == (1, 0)


@asynccontextmanager
async def rendered(server: FaultyServer, folder: Path) -> AsyncIterator[str]:
    """The page that is hydrated, as a server renders it."""
    bundle(HYDRATED, folder / "server.cjs", "--format=cjs", "--platform=node")
    process = await asyncio.create_subprocess_exec(
        NODE, str(folder / "server.cjs"), server.url, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    yield output.decode().strip()


async def test_rendering_on_a_server_opens_nothing(tmp_path: Path) -> None:
    async with FaultyServer() as server, rendered(server, tmp_path) as html:
        assert "disconnected, 0 notices" in re.sub("<!-- -->", "", html)
        assert server.counts.tcp_accepted == 0


async def test_a_page_that_a_server_has_rendered_is_hydrated_without_a_warning(
    chromium: Browser, tmp_path: Path
) -> None:
    noted: list[str] = []
    async with (
        FaultyServer() as server,
        rendered(server, tmp_path) as html,
        opened(HYDRATED, server, chromium, tmp_path, noted=noted, html=html) as page,
    ):
        await page.wait_for_function("() => document.querySelector('p').textContent === 'connected, 0 notices'")
        assert await page.evaluate("() => document.querySelector('p').isOfServer") is True
        await server.broadcast('{"type": "note", "n": 1}')
        await page.wait_for_function("() => seen.length === 1")
        assert (server.counts.tcp_accepted, server.counts.most_open) == (1, 1)
    assert [text for text in noted if "404" not in text and "React DevTools" not in text] == []
