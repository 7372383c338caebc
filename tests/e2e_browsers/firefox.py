"""A headless Firefox by WebDriver BiDi."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp

from .tab import Actions, BrowserEngine, Failed, Profile, Tab, ended, find_program

_PREFERENCES: Final = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "focusmanager.testmode": True,  # pages of several windows have the focus at a time
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.prefs.recommended": True,
}
"""Nothing asks the internet; the last one brings those that Mozilla recommends for automation."""


class _Connection:
    """The WebSocket of a browser: each command has a number, and its answer the same."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket
        self._numbers = count(1)
        self._pending: dict[int, asyncio.Future[Any]] = {}

    async def call(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._pending[number] = answer = asyncio.get_running_loop().create_future()
        await self._websocket.send_json({"id": number, "method": method, "params": parameters})
        return await answer

    async def read(self) -> None:
        async for message in self._websocket:
            answer = message.json()
            pending = self._pending.pop(answer.get("id"), None)
            if pending is None or pending.done():
                continue
            if answer["type"] == "success":
                pending.set_result(answer["result"])
            else:
                pending.set_exception(Failed(f"{answer['error']}: {answer['message']}"))
        for pending in self._pending.values():
            if not pending.done():
                pending.set_exception(Failed("the browser has ended"))


class FirefoxTab(Tab):
    """A window of Firefox."""

    def __init__(self, connection: _Connection, context: str) -> None:
        self._connection = connection
        self._context = context

    async def _call(self, method: str, **parameters: object) -> Any:
        return await self._connection.call(method, context=self._context, **parameters)

    async def goto(self, url: str) -> None:
        """Load an address, and wait until it is loaded."""
        await self._call("browsingContext.navigate", url=url, wait="complete")

    async def reload(self) -> None:
        """Load the page anew."""
        await self._call("browsingContext.reload", wait="complete")

    async def back(self) -> None:
        """Go back in the history."""
        await self._call("browsingContext.traverseHistory", delta=-1)

    async def evaluate(self, function: str, argument: object = None) -> Any:
        """Call a function in the page. Raises `Failed`."""
        called = f"async (argument) => JSON.stringify((await ({function})(JSON.parse(argument))) ?? null)"
        outcome = await self._connection.call(
            "script.callFunction",
            functionDeclaration=called,
            arguments=[{"type": "string", "value": json.dumps(argument)}],
            target={"context": self._context},
            awaitPromise=True,
        )
        if outcome["type"] == "exception":
            raise Failed(str(outcome["exceptionDetails"]["text"]))
        return json.loads(outcome["result"]["value"])

    async def perform(self, actions: Actions) -> None:
        """Do what a person does, as WebDriver's list of action sequences says."""
        await self._call("input.performActions", actions=actions)

    async def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        found = await self._call("browsingContext.locateNodes", locator={"type": "css", "value": selector})
        (node,) = found["nodes"]
        await self._call("input.setFiles", element={"sharedId": node["sharedId"]}, files=[str(path)])

    async def resize(self, width: int, height: int) -> None:
        """Give the page a size in CSS pixels."""
        await self._call("browsingContext.setViewport", viewport={"width": width, "height": height})

    async def screenshot(self) -> bytes:
        """The page as a PNG."""
        return base64.b64decode((await self._call("browsingContext.captureScreenshot"))["data"])

    async def close(self) -> None:
        """Close the tab."""
        await self._call("browsingContext.close")


class FirefoxProfile(Profile):
    """A user context, which Firefox calls a container."""

    def __init__(self, connection: _Connection, user_context: str) -> None:
        self._connection = connection
        self._user_context = user_context

    async def new_tab(self) -> FirefoxTab:
        """Open a tab in a window of its own."""
        opened = await self._connection.call("browsingContext.create", type="window", userContext=self._user_context)
        return FirefoxTab(self._connection, opened["context"])

    async def close(self) -> None:
        """Close its tabs, and forget its storage."""
        await self._connection.call("browser.removeUserContext", userContext=self._user_context)


class Firefox(BrowserEngine):
    """Firefox, with one process for all profiles."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def new_profile(self) -> FirefoxProfile:
        """Make a profile that is empty."""
        made = await self._connection.call("browser.createUserContext")
        return FirefoxProfile(self._connection, made["userContext"])


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """A headless Firefox."""
    with TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as home:
        preferences = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items())
        (Path(home) / "user.js").write_text("\n".join(preferences), "utf-8")
        program = find_program(os.environ.get("FIREFOX", "firefox-esr"))
        options = ("--headless", "--no-remote", "--profile", home, "--remote-debugging-port=0")
        environment = {**os.environ, "HOME": home}  # root may not write to the home of somebody else
        async with (
            ended(program, *options, env=environment, stdout=DEVNULL, stderr=PIPE) as process,
            aiohttp.ClientSession() as http,
        ):
            assert process.stderr is not None
            told = ""
            while "BiDi listening on" not in told:
                told = (await process.stderr.readline()).decode()
                if not told:
                    raise Failed("Firefox has ended")
            drained = asyncio.ensure_future(process.stderr.read())
            async with http.ws_connect(f"{told.split()[-1]}/session", max_msg_size=0) as websocket:
                connection = _Connection(websocket)
                reading = asyncio.ensure_future(connection.read())
                await connection.call("session.new", capabilities={})
                try:
                    yield Firefox(connection)
                finally:
                    await connection.call("browser.close")
                    await reading
            await drained
