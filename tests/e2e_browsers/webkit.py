"""WebKitGTK's MiniBrowser by WebDriver, on a screen of Xvfb."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from .tab import Actions, BrowserEngine, Failed, Profile, Tab, ended, find_program

# The driver answers one command of a session at a time, so a promise that takes its time is asked for again.
_CALL: Final = """const [argument, done] = arguments;
const id = crypto.randomUUID?.() ?? `${Math.random()}`;
const calls = (globalThis[Symbol.for('driver.calls')] ??= new Map());
const settle = (outcome) => (calls.set(id, outcome), done(outcome));
(async () => JSON.stringify((await (FUNCTION)(JSON.parse(argument))) ?? null))()
    .then((value) => settle({ value }), (error) => settle({ error: `${error}\\n${error?.stack}` }));
setTimeout(() => done({ id }), 50);
"""
_ASK: Final = """const [id, done] = arguments;
const calls = globalThis[Symbol.for('driver.calls')];
done(calls ? calls.get(id) ?? { id } : { error: 'the page is gone' });
"""
# A window gets as narrow as a phone only if its bar does.
_GTK_CSS: Final = "* { min-width: 0; min-height: 0; padding: 0; margin: 0; border: 0; font-size: 1px }"


class _Session:
    """One driver with one browser; it answers one command at a time."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url
        self.lock = asyncio.Lock()
        self.current = ""

    async def call(self, method: str, path: str, body: object = None) -> Any:
        async with self._http.request(method, self._url + path, json=body) as response:
            value = (await response.json())["value"]
        if response.status != 200:
            raise Failed(f"{value['error']}: {value['message']}")
        return value


class WebKitTab(Tab):
    """A window of MiniBrowser."""

    def __init__(self, session: _Session, handle: str) -> None:
        self._session = session
        self._handle = handle

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.lock:
            if self._session.current != self._handle:
                await self._session.call("POST", "/window", {"handle": self._handle})
                self._session.current = self._handle
            return await self._session.call(method, path, body)

    async def goto(self, url: str) -> None:
        """Load an address, and wait until it is loaded."""
        await self._call("POST", "/url", {"url": url})

    async def reload(self) -> None:
        """Load the page anew."""
        await self._call("POST", "/refresh", {})

    async def back(self) -> None:
        """Go back in the history."""
        await self._call("POST", "/back", {})

    async def evaluate(self, function: str, argument: object = None) -> Any:
        """Call a function in the page. Raises `Failed`."""
        script, given = _CALL.replace("FUNCTION", function), json.dumps(argument)
        outcome = await self._call("POST", "/execute/async", {"script": script, "args": [given]})
        while "id" in outcome:
            await asyncio.sleep(0.02)
            outcome = await self._call("POST", "/execute/async", {"script": _ASK, "args": [outcome["id"]]})
        if "error" in outcome:
            raise Failed(outcome["error"])
        return json.loads(outcome["value"])

    async def perform(self, actions: Actions) -> None:
        """Do what a person does, as WebDriver's list of action sequences says."""
        await self._call("POST", "/actions", {"actions": actions})

    async def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        element = await self._call("POST", "/element", {"using": "css selector", "value": selector})
        (reference,) = element.values()
        await self._call("POST", f"/element/{reference}/value", {"text": str(path)})

    async def resize(self, width: int, height: int) -> None:
        """Give the page a size in CSS pixels."""
        window = await self._call("GET", "/window/rect")
        inner = await self.evaluate("() => [innerWidth, innerHeight]")
        size = {"width": width + window["width"] - inner[0], "height": height + window["height"] - inner[1]}
        await self._call("POST", "/window/rect", {"x": 0, "y": 0, **size})
        await self.wait_for("([width, height]) => innerWidth === width && innerHeight === height", [width, height])

    async def screenshot(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode(await self._call("GET", "/screenshot"))

    async def close(self) -> None:
        """Close the tab."""
        rest = await self._call("DELETE", "/window")
        self._session.current = ""
        if rest:  # a new window is opened by one that is there
            async with self._session.lock:
                self._session.current = rest[0]
                await self._session.call("POST", "/window", {"handle": rest[0]})


class WebKitProfile(Profile):
    """A MiniBrowser with a driver of its own: a driver has one session, whose storage is in memory."""

    def __init__(self, session: _Session, resources: AsyncExitStack) -> None:
        self._session = session
        self._resources = resources
        self._is_new = True

    async def new_tab(self) -> WebKitTab:
        """Open a tab in a window of its own."""
        async with self._session.lock:
            if self._is_new:
                self._is_new = False
                return WebKitTab(self._session, await self._session.call("GET", "/window"))
            opened = await self._session.call("POST", "/window/new", {"type": "window"})
        return WebKitTab(self._session, opened["handle"])

    async def close(self) -> None:
        """Close its tabs, and forget its storage."""
        await self._resources.aclose()


class WebKit(BrowserEngine):
    """WebKitGTK: the engine of Safari, with other networking and drawing around it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    async def new_profile(self) -> WebKitProfile:
        """Make a profile that is empty."""
        async with AsyncExitStack() as stack:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))  # the driver doesn't say which port it was given for 0
                port = free.getsockname()[1]
            program = find_program("WebKitWebDriver")
            driver = await stack.enter_async_context(ended(program, f"--port={port}", env=self._environment))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            driver_url = f"http://127.0.0.1:{port}"
            while True:
                try:
                    answer = await _Session(http, driver_url).call("POST", "/session", {"capabilities": {}})
                    break
                except aiohttp.ClientConnectorError:
                    if driver.returncode is not None:
                        raise
                    await asyncio.sleep(0.02)
            session = _Session(http, f"{driver_url}/session/{answer['sessionId']}")
            stack.push_async_callback(session.call, "DELETE", "")
            return WebKitProfile(session, stack.pop_all())


@asynccontextmanager
async def webkit() -> AsyncIterator[WebKit]:
    """A screen, on which profiles are opened."""
    with TemporaryDirectory(prefix="webkit-") as home:
        style = Path(home) / ".config" / "gtk-3.0" / "gtk.css"
        style.parent.mkdir(parents=True)
        style.write_text(_GTK_CSS, "utf-8")
        screen = ("-screen", "0", "1600x1200x24", "-nolisten", "tcp", "-displayfd", "1")
        async with ended(find_program("Xvfb"), *screen, stdout=PIPE, stderr=DEVNULL) as process:
            assert process.stdout is not None
            display = (await process.stdout.readline()).decode()
            # Software renders the same everywhere; no settings and no accessibility bus of the machine are asked.
            yield WebKit(
                {
                    "PATH": os.environ["PATH"],
                    "HOME": home,
                    "XDG_RUNTIME_DIR": home,
                    "DISPLAY": f":{display.strip()}",
                    "GDK_BACKEND": "x11",
                    "GSETTINGS_BACKEND": "memory",
                    "LIBGL_ALWAYS_SOFTWARE": "1",
                    "NO_AT_BRIDGE": "1",
                }
            )
