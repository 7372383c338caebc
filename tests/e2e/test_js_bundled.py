"""The JavaScript package installed, bundled and minified: tabs share one connection, and the server counts."""

import os
import subprocess
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Browser

from onesocket.testing import FaultyServer
from tests.support.node_script import NODE
from tests.support.terminals import ROOT
from tests.support.web_app import serving

PACKAGE = ROOT / "packages" / "onesocket-js"
FILES = {
    "feed.js": """
import { Client, Json, TokenQuery } from 'onesocket';
const protocol = new Json({ tokenPlace: new TokenQuery() });
export default (token) => new Client(URL_OF_THE_SERVER, { token, protocol, logger: null });
""",
    "feed-worker.js": """
import { serve } from 'onesocket/worker';
import makeClient from './feed.js';
serve(makeClient);
""",
    "main.js": """
import { join, ManuallyDisconnected } from 'onesocket';
const worker = (name) => new SharedWorker('/feed-worker.js', { type: 'module', name });
const mode = location.hash === '#worker' ? { worker } : {};
window.client = join(() => import('./feed.js'), { key: `feed ${location.hash}`, token: () => 's3cret', ...mode });
const describe = (error) => [error.name, error instanceof ManuallyDisconnected, `${error}`.split(':')[0]];
window.failure = () => client.connect().catch(describe);
""",
}


def bundle(folder: Path, url: str) -> Path:
    """The bundles of a program in which the package is installed, by esbuild, as `make js` installs it."""
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "onesocket").symlink_to(PACKAGE)
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("URL_OF_THE_SERVER", f"'{url}'"), "utf-8")
    command = [NODE, str(PACKAGE / "node_modules" / "esbuild" / "bin" / "esbuild"), "main.js", "feed-worker.js"]
    command += ["--bundle", "--minify", "--splitting", "--format=esm", "--outdir=out", "--log-level=warning"]
    subprocess.run(command, check=True, timeout=50, cwd=folder, env=dict(os.environ))  # noqa: S603 - of the project
    return folder / "out"


def application(folder: Path) -> web.Application:
    """A web application with a page of these scripts."""

    async def page(_request: web.Request) -> web.Response:
        html = '<!doctype html><title>tab</title><script type="module" src="/main.js"></script>'
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_static("/", folder)
    return app


@pytest.mark.parametrize("mode", ["worker", "leader"])
async def test_tabs_of_a_bundled_program_share_one_connection_and_know_its_errors(
    mode: str, chromium: Browser, tmp_path: Path
) -> None:
    async with FaultyServer() as server, serving(application(bundle(tmp_path, server.url))) as url:
        context = await chromium.new_context()
        tabs = [await context.new_page() for _ in range(3)]
        for tab in tabs:
            await tab.goto(f"{url}#{mode}")
            await tab.wait_for_function("() => window.client")
        outcomes = [await tab.evaluate("() => client.connect()") for tab in tabs]
        assert outcomes == ["opened", "already connected", "already connected"]
        assert (server.counts.tcp_accepted, server.history[0].request_path) == (1, "/?token=s3cret")
        await tabs[0].evaluate("() => client.disconnect()")
        for tab in tabs:
            assert await tab.evaluate("() => failure()") == ["ManuallyDisconnected", True, "ManuallyDisconnected"]
        assert (server.counts.tcp_accepted, server.counts.open_now) == (1, 0)
