"""Programs as clients of a hub, by several libraries with their usual headers.

Each sends a text and bytes, and notes a line for each message and for the close.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import aiohttp
import websocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.commands import COMMAND
from tests.support.terminals import NODE_FOLDER
from tests.support.waiting import DEADLINE

LocalClient = Callable[[str, list[str]], Coroutine[Any, Any, None]]
"""Connects to a URL, and adds lines until the connection is closed."""
NODE: Final = (str(NODE_FOLDER / "node"), str(Path(__file__).with_name("local_client.mjs")))


def line_of(message: str | bytes) -> str:
    """The line for a message."""
    data = message.encode() if isinstance(message, str) else message
    return f"{'text' if isinstance(message, str) else 'binary'} {len(data)} {zlib.adler32(data)}"


async def by_websockets(url: str, lines: list[str]) -> None:
    async with connect(url, max_size=None) as connection:
        await connection.send("text of websockets")
        await connection.send(b"binary of websockets")
        await (await connection.ping("are you there"))
        lines.append("pong")
        with contextlib.suppress(ConnectionClosed):
            while True:
                lines.append(line_of(await connection.recv()))
        lines.append(f"closed {connection.close_code} {connection.close_reason}")


async def by_aiohttp(url: str, lines: list[str]) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url, autoping=False) as connection:
        await connection.send_str("text of aiohttp")
        await connection.send_bytes(b"binary of aiohttp")
        await connection.ping(b"are you there")
        while True:
            message = await connection.receive()
            match message.type:
                case aiohttp.WSMsgType.PONG:
                    lines.append("pong")
                case aiohttp.WSMsgType.TEXT | aiohttp.WSMsgType.BINARY:
                    lines.append(line_of(message.data))
                case _:
                    lines.append(f"closed {connection.close_code} {message.extra or ''}")
                    return


async def by_websocket_client(url: str, lines: list[str]) -> None:
    await asyncio.to_thread(_by_websocket_client, url, lines)


def _by_websocket_client(url: str, lines: list[str]) -> None:
    connection = websocket.create_connection(url, timeout=DEADLINE)
    try:
        connection.send("text of websocket-client")
        connection.send_binary(b"binary of websocket-client")
        connection.ping("are you there")
        while True:
            opcode, data = connection.recv_data(control_frame=True)
            match opcode:
                case websocket.ABNF.OPCODE_PONG:
                    lines.append("pong")
                case websocket.ABNF.OPCODE_TEXT:
                    lines.append(line_of(data.decode()))
                case websocket.ABNF.OPCODE_BINARY:
                    lines.append(line_of(data))
                case _:
                    lines.append(f"closed {int.from_bytes(data[:2], 'big')} {data[2:].decode()}")
                    return
    finally:
        connection.shutdown()  # type: ignore[no-untyped-call] # of the library


async def by_node(url: str, lines: list[str]) -> None:
    """The WebSocket that Node.js has itself."""
    await _by_program(lines, *NODE, url, "node")


def by_ws(package: Path) -> LocalClient:
    """Return a client by the package `ws` of Node.js, which is in this folder."""

    async def by_it(url: str, lines: list[str]) -> None:
        await _by_program(lines, *NODE, url, "ws", str(package / "wrapper.mjs"))

    return by_it


async def by_connect(url: str, lines: list[str]) -> None:
    """The command ``onesocket connect``, which prints the messages themselves."""
    options = ("--no-reconnect", "--stay", "--quiet", "--ping-interval=0.05")
    await _by_program(lines, *COMMAND, "connect", url, *options, stdin=b"text of onesocket connect\n")


async def _by_program(lines: list[str], *command: str, stdin: bytes = b"") -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 22
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(stdin)
        process.stdin.close()
        while line := await process.stdout.readline():
            lines.append(line.decode().rstrip("\n"))
        lines.append(f"ended {await process.wait()}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
