"""The package `ws` of Node.js: a process of its own, ordered by JSON lines."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from onesocket.wire._deflate_parameters import DeflateParameters
from onesocket.wire._handshake import Data

from .endpoint import DEADLINE, Endpoint, EngineServer, ServerSettings, Signal, split

WS_VERSION: Final = "8.23.0"
_SCRIPT: Final = Path(__file__).with_name("node_peer.mjs")
_LINE_LIMIT: Final = 1 << 27
_ABNORMAL: Final = 1006
_INSTALL_SECONDS: Final = 300.0


class NoNodeError(Exception):
    """Node.js or its package `ws` can't be had; the text says why."""


async def install_ws(folder: Path) -> None:
    """Install the package `ws` into `folder` unless it is there. Raises `NoNodeError`."""
    await install_package(folder, "ws", WS_VERSION)


async def install_package(folder: Path, name: str, version: str) -> None:
    """Install one package of npm into `folder` unless it is there. Raises `NoNodeError`."""
    if _is_installed(folder, name, version):
        return
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NoNodeError(f"node and npm are not on the path; the package `{name}` needs Node.js 18 or newer")
    _make_project(folder)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", f"{name}@{version}"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            _, err = await process.communicate()
    except TimeoutError:
        process.kill()
        raise NoNodeError(f"npm did not install {name}@{version} within {_INSTALL_SECONDS:g} s") from None
    if process.returncode:
        raise NoNodeError(f"npm can't install {name}@{version}: {err.decode(errors='replace').strip()[-600:]}")


def _is_installed(folder: Path, name: str, version: str) -> bool:
    manifest = folder / "node_modules" / name / "package.json"
    return manifest.exists() and json.loads(manifest.read_text("utf-8"))["version"] == version


def _make_project(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")


class NodeEndpoint(Endpoint):
    """One `WebSocket` in the process."""

    def __init__(self, engine: NodeEngine, number: int, signal: Signal, remote_port: int) -> None:
        super().__init__(signal, remote_port)
        self._engine = engine
        self._number = number
        self._unsettled: dict[int, Data] = {}

    async def _send(self, data: Data, pieces: int) -> bool:
        parts = [part.encode() if isinstance(part, str) else part for part in split(data, pieces)]
        encoded = [base64.b64encode(part).decode() for part in parts]
        number = self._engine.order("send", self, id=self._number, parts=encoded, text=isinstance(data, str))
        self._unsettled[number] = data
        return False  # recorded as sent once the process has said so

    def settle(self, number: int, *, is_sent: bool) -> None:
        """Note what became of a message."""
        data = self._unsettled.pop(number)
        if is_sent:
            self.sent.append(data)
        self._signal.notify()

    @property
    def is_idle(self) -> bool:
        """True if no order is left, and the fate of every message is known."""
        return super().is_idle and not self._unsettled

    async def _ping(self, payload: bytes) -> None:
        self._engine.tell("ping", id=self._number, data=base64.b64encode(payload).decode())

    async def _close(self, code: int, reason: str) -> None:
        self._engine.tell("close", id=self._number, code=code, reason=reason)

    async def _drop(self) -> None:
        self._engine.tell("drop", id=self._number)

    async def _end_stream(self) -> None:
        self._engine.tell("end", id=self._number)


class _NodeServer:
    def __init__(self, engine: NodeEngine, key: int, port: int, settings: ServerSettings) -> None:
        self.port = port
        self.endpoints: list[NodeEndpoint] = []
        self._engine = engine
        self._key = key
        self._settings = settings

    def settings_changed(self) -> None:
        """Pass the refusal on."""
        self._engine.tell("settings", key=self._key, refusal=self._settings.refusal)

    async def aclose(self) -> None:
        self._engine.tell("stop", key=self._key)
        for endpoint in self.endpoints:
            await endpoint.aclose()


class NodeEngine:
    """Node's `ws`."""

    name = "ws"
    compresses = True
    waits_for_close = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._endpoints: dict[int, NodeEndpoint] = {}
        self._adopt: dict[int, tuple[Callable[[NodeEndpoint], None], Signal]] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ordered: dict[int, NodeEndpoint] = {}
        self._numbers = 0

    async def start(self) -> str:
        """Install the package, and start the process; returns both versions. Raises `NoNodeError`."""
        await install_ws(self._folder)
        self._process = await asyncio.create_subprocess_exec(
            str(shutil.which("node")),
            str(_SCRIPT),
            cwd=self._folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_LIMIT,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read(self._process))
        ready = await self._future(0)
        return f"{ready['ws']} on Node.js {ready['node'].removeprefix('v')}"

    async def serve(self, settings: ServerSettings, opened: Callable[[Endpoint], None], signal: Signal) -> EngineServer:
        """Listen on loopback."""
        key = self._new_number()
        found: list[_NodeServer] = []

        def adopt(endpoint: NodeEndpoint) -> None:
            found[0].endpoints.append(endpoint)
            opened(endpoint)

        self._adopt[key] = (adopt, signal)
        self.tell("serve", key=key, deflate=_options(settings.deflate), subprotocol=settings.subprotocol)
        answer = await self._future(key)
        found.append(_NodeServer(self, key, answer["port"], settings))
        found[0].settings_changed()
        return found[0]

    async def connect(self, url: str, deflate: DeflateParameters | None, signal: Signal) -> Endpoint:
        """Open a connection; raises `ConnectionError`."""
        key = self._new_number()
        found: list[NodeEndpoint] = []
        self._adopt[key] = (found.append, signal)
        self.tell("connect", key=key, url=url, deflate=_options(deflate))
        answer = await self._future(key)
        if answer["event"] != "opened":
            raise ConnectionError(answer["text"])
        return found[0]

    async def aclose(self) -> None:
        """End the process."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(DEADLINE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    # --- the process ------------------------------------------------------------------------------------------------

    def tell(self, what: str, **more: Any) -> None:
        """Give an order."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")

    def order(self, what: str, endpoint: NodeEndpoint, **more: Any) -> int:
        """Give an order; the endpoint is told when it is done. Returns its number."""
        number = self._new_number()
        self._ordered[number] = endpoint
        self.tell(what, order=number, **more)
        return number

    def _new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _future(self, number: int) -> Any:
        future = self._answers.setdefault(number, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(DEADLINE):
                return await future
        finally:
            self._answers.pop(number, None)

    def _answer(self, number: int, event: Any) -> None:
        future = self._answers.setdefault(number, asyncio.get_running_loop().create_future())
        if not future.done():
            future.set_result(event)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        while line := await process.stdout.readline():
            self._take(json.loads(line))
        for endpoint in self._endpoints.values():
            endpoint.note_end()

    def _take(self, event: Any) -> None:
        kind = event["event"]
        if kind == "ready":
            self._answer(0, event)
        elif kind == "done":
            self._ordered.pop(event["order"]).settle(event["order"], is_sent=event["ok"])
        elif kind in {"listening", "not opened"}:
            self._answer(event["key"], event)
        elif kind == "opened":
            adopt, signal = self._adopt[event["key"]]
            endpoint = self._endpoints[event["id"]] = NodeEndpoint(self, event["id"], signal, event["remotePort"])
            adopt(endpoint)
            if event["key"] in self._answers:  # it was dialled
                self._answer(event["key"], event)
        else:
            self._take_endpoint_event(self._endpoints[event["id"]], kind, event)

    def _take_endpoint_event(self, endpoint: NodeEndpoint, kind: str, event: Any) -> None:
        if kind == "message":
            data = base64.b64decode(event["data"])
            endpoint.note_message(data.decode() if event["text"] else data)
        elif kind == "pong":
            endpoint.note_pong(base64.b64decode(event["data"]))
        elif kind == "failure":
            endpoint.failures.append(f"ws: {event['text']}")
        elif kind == "closed":
            if event["code"] != _ABNORMAL:
                endpoint.note_close(event["code"], event["reason"])
            endpoint.note_end()
            del self._endpoints[event["id"]]


def _options(deflate: DeflateParameters | None) -> dict[str, Any] | None:
    if deflate is None:
        return None
    options = {
        "serverNoContextTakeover": deflate.server_no_context_takeover or None,
        "clientNoContextTakeover": deflate.client_no_context_takeover or None,
        "serverMaxWindowBits": deflate.server_max_window_bits,
        "clientMaxWindowBits": deflate.client_max_window_bits,
    }
    return {name: value for name, value in options.items() if value is not None}
