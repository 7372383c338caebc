"""A browser's page and the package `ws`, which npm installs, as clients of one hub."""

import asyncio
from pathlib import Path

from onesocket.testing import FaultyServer
from tests.engines.node_engine import install_ws
from tests.integration.hub_clients import running_hub, send_through_a_loss
from tests.support.local_clients import by_ws, line_of
from tests.support.proxies import serving
from tests.support.terminals import DEADLINE, ROOT
from tests.support.waiting import until
from tools.screenshots import browser

SCRIPT = (ROOT / "tests" / "support" / "local_client.mjs").read_text("utf-8")
TALK = """async ([source, url]) => {
    const { talk } = await import('data:text/javascript,' + encodeURIComponent(source));
    talk(WebSocket, url, 'page', print);
}"""
BURST = map(str, range(500))
MESSAGES: list[str | bytes] = ["grüße", "", b"\x00\xff\x81", b"", "€" * 300_000, b"m" * 3_000_000, *BURST]


async def page_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage")


async def test_a_page_and_ws_get_everything_through_a_lost_upstream(tmp_path: Path) -> None:
    await install_ws(ROOT / ".differential" / "node")
    by_package = by_ws(ROOT / ".differential" / "node" / "node_modules" / "ws")
    async with serving(page_server) as port, FaultyServer(echo=False) as server, browser() as chromium:
        origin = f"http://127.0.0.1:{port}"
        page = await chromium.new_page()
        await page.goto(origin)
        noted: list[str] = []

        def note(line: str) -> None:
            noted.append(line)

        await page.expose_function("print", note)
        async with running_hub(server, directory=str(tmp_path)) as hub:
            await page.evaluate(TALK, [SCRIPT, hub.url])
            await until(lambda: noted == ["closed 1006 "], DEADLINE)
            noted.clear()
        lines: list[str] = []
        async with (
            running_hub(server, allow_origins=[origin], directory=str(tmp_path)) as hub,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(by_package(hub.url, lines))
            await page.evaluate(TALK, [SCRIPT, hub.url])
            sent = {"text of page", b"binary of page", "text of ws", b"binary of ws"}
            await until(lambda: set(server.received) == sent, DEADLINE)
            await send_through_a_loss(server, hub, MESSAGES)
            await until(lambda: all(each and each[-1] == line_of("back") for each in (lines, noted)), DEADLINE)
            await hub.stop()
        await until(lambda: len(noted) == len(MESSAGES) + 2, DEADLINE)
    expected = [*map(line_of, [*MESSAGES, "back"]), "closed 1001 the hub is stopping"]
    assert noted == expected
    assert lines == [*expected, "ended 0"]
