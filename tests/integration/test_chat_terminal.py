"""``onesocket chat`` at a terminal: bytes as they come over a slow connection, windows that are resized, kill -9."""

import asyncio
import base64
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from onesocket_chat._credentials import Credentials, save
from onesocket_chat.model._safe_text import sanitize
from onesocket_discord.rest import Accounts, Rest
from onesocket_discord.server import ChatServer
from tests.support.terminal import DEADLINE, Terminal, command_at_terminal
from tests.unit.onesocket_chat.driver import PASSWORD

pytestmark = pytest.mark.timeout(120)
F2, F4 = b"\x1bOQ", b"\x1bOS"


@asynccontextmanager
async def terminal(
    server: ChatServer, state: Path, *more: str, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[Terminal]:
    environment = {**os.environ, "XDG_STATE_HOME": str(state)}
    async with command_at_terminal("chat", "--server", server.api_url, *more, env=environment, size=size) as window:
        yield window


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as one:
        yield one


@pytest.fixture
async def ada(server: ChatServer, tmp_path: Path) -> str:
    """Ada, who is remembered here; her token."""
    token = await server.create_user("ada", PASSWORD)
    save(Credentials(server.api_url, "ada", token), tmp_path / "onesocket" / "chat.json")
    return token


async def general(server: ChatServer, token: str) -> int:
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        guild = (await rest.guilds())[0]
        return int((await rest.guild_channels(guild["id"]))[0]["id"])


async def until_stored(server: ChatServer, token: str, *contents: str) -> None:
    """The server has exactly these, in this order."""
    channel = await general(server, token)
    found: list[str] = []
    async with Rest(token, api_url=server.api_url, token_type=None) as rest:
        try:
            async with asyncio.timeout(DEADLINE):
                while len(found) < len(contents):
                    found = [one["content"] async for one in rest.history(channel)][::-1]
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
    assert found == list(contents)


async def test_everything_is_typed_before_the_first_screen_has_settled(server: ChatServer, tmp_path: Path) -> None:
    await server.create_user("ada", PASSWORD)
    async with terminal(server, tmp_path) as window:
        await window.until_drawn("Password")
        window.type(b"adx\x7fa\t" + PASSWORD.encode() + b"\r")
        await window.until_drawn("CONNECTED")
        await window.until_drawn("#general")
        # Opens the channel and writes, in one go; what is left is a draft.
        window.type(b"\rsee you at 18:45\rabd\x7fc\rone\ntwo\rleft")
        token = await Accounts(server.api_url).login("ada", PASSWORD)
        await until_stored(server, token, "see you at 18:45", "abc", "one\ntwo")
        await window.until_drawn("left")


async def test_bytes_that_dribble_in_a_busy_channel_are_stored_as_they_were_typed(
    server: ChatServer, tmp_path: Path, ada: str
) -> None:
    channel = await general(server, ada)
    texts = [f"message {number}: the quick brown fox jumps over {number} lazy dogs" for number in range(6)]
    async with (
        terminal(server, tmp_path, "--remember") as window,
        Rest(await server.create_user("bob", PASSWORD), api_url=server.api_url, token_type=None) as bob,
    ):
        await window.until_drawn("#general")
        await window.dribble(b"\r")

        async def chatter() -> None:
            for number in range(40):
                change = bob.remove_reaction if number % 2 else bob.add_reaction
                await change(channel, first["id"], "👍")
                await bob.typing(channel)

        first = await bob.send_message(channel, "first")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(chatter())
            for text in texts:
                await window.dribble(text[:20].encode())
                window.type(text[20:].encode() + b"\r")
        await until_stored(server, ada, "first", *texts)


async def test_a_killed_application_leaves_its_draft_to_the_next(server: ChatServer, tmp_path: Path, ada: str) -> None:
    async with terminal(server, tmp_path, "--remember") as window:
        await window.until_drawn("#general")
        window.type(b"\rthis took me an hour")
        await window.until_drawn("this took me an hour")
        await asyncio.to_thread(_until_kept, tmp_path, b"an hour")
        window.process.kill()
        await window.process.wait()
    async with terminal(server, tmp_path, "--remember") as window:
        await window.until_drawn("#general")
        window.type(b"\r")
        await window.until_drawn("this took me an hour")
        window.type(b"!\r")
        await until_stored(server, ada, "this took me an hour!")
        assert _open_to_others(tmp_path) == []


async def test_a_window_that_is_resized_all_the_time_keeps_its_application(
    server: ChatServer, tmp_path: Path, ada: str
) -> None:
    async with terminal(server, tmp_path, "--remember") as window:
        await window.until_drawn("#general")
        window.type(b"\rtyped")
        await window.until_drawn("typed")
        for columns in range(90, 0, -3):
            window.forget()
            window.resize(columns, 30 if columns % 2 else 9)
            async with asyncio.timeout(DEADLINE):
                while not window.drawn:
                    window._news.clear()
                    await window._news.wait()
            assert window.process.returncode is None, window.drawn
        window.type(b" and more")
        for columns in (300, 40, 100):
            window.resize(columns, 100 if columns == 300 else 12)
        window.forget()
        window.resize(101, 30)
        await window.until_drawn("typed and more")
        window.type(b"\r")
        await until_stored(server, ada, "typed and more")
        window.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            assert await window.process.wait() == 0


async def test_in_a_small_window_one_can_sign_in_and_find_the_channels(server: ChatServer, tmp_path: Path) -> None:
    async with terminal(server, tmp_path, size=(40, 12)) as window:
        await window.until_drawn("Password")
        window.type(b"ada\t" + PASSWORD.encode() + F2)
        await window.until_drawn("CONNECTED")
        await window.until_drawn("#general")
        window.type(b"\rhello")
        await window.until_drawn("hello")
        window.forget()
        window.type(F4)
        await window.until_drawn("onesocket")
        window.type(b"\r there\r")
        token = await Accounts(server.api_url).login("ada", PASSWORD)
        await until_stored(server, token, "hello there")


async def test_the_terminal_gets_links_and_copies_and_nothing_that_an_author_steers_it_with(
    server: ChatServer, tmp_path: Path, ada: str
) -> None:
    channel = await general(server, ada)
    text = "\x1b]52;c;ZXZpbA==\x07\x1b[31mred [@click=app.quit]x[/] **bold** https://e.org/a?b last"
    bob = await server.create_user("bob", PASSWORD)
    async with Rest(bob, api_url=server.api_url, token_type=None) as rest:
        await rest.send_message(channel, text)
    async with terminal(server, tmp_path, "--remember") as window:
        await window.until_drawn("last")
        assert b"\xef\xbf\xbd[31mred [@click=app.quit]x[/]" in window.written
        assert re.search(rb"\x1b\]8;[^;]*;https://e\.org/a\?b\x1b\\", window.written)
        assert b"52;c;ZXZpbA==\x07" not in window.written
        window.type(b"\x1b[Z")  # from the composer to the messages
        window.type(b"y")
        await window.until_drawn("copied")
        copied = re.findall(rb"\x1b\]52;c;([^\x07]+)\x07", window.written)
        assert [base64.b64decode(one).decode() for one in copied] == [sanitize(text)]


@asynccontextmanager
async def window_with_draft(server: ChatServer, state: Path) -> AsyncIterator[Terminal]:
    """A terminal with an unsent text; the end of the block looks for it on disk."""
    async with terminal(server, state, "--remember") as window:
        await window.until_drawn("#general")
        window.type(b"a draft")
        await window.until_drawn("a draft")
        yield window
    await asyncio.to_thread(_until_kept, state, b"a draft")


async def test_a_hang_up_ends_it_in_order_and_gives_the_terminal_back(
    server: ChatServer, tmp_path: Path, ada: str
) -> None:
    del ada
    async with window_with_draft(server, tmp_path) as window:
        window.forget()
        window.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(DEADLINE):
            assert await window.process.wait() == 0
        await window.until_written(b"\x1b[?1049l")
        await window.until_written(b"\x1b[?25h")


async def test_it_ends_when_its_terminal_is_gone_even_without_a_signal(
    server: ChatServer, tmp_path: Path, ada: str
) -> None:
    del ada
    async with window_with_draft(server, tmp_path) as window:
        window.close()
        async with asyncio.timeout(DEADLINE):
            assert await window.process.wait() == 1


async def test_ctrl_z_suspends_it_and_it_goes_on_where_it_was(server: ChatServer, tmp_path: Path, ada: str) -> None:
    async with terminal(server, tmp_path, "--remember") as window:
        await window.until_drawn("#general")
        window.type(b"ab\x1ac")  # in the composer it takes back what was written
        window.type(b"\x1b[Z\x1a")
        await asyncio.to_thread(_until_stopped, window.process.pid)
        await window.until_written(b"\x1b[23;2t")  # the title of before
        await window.until_written(b"\x1b[?1049l")
        window.forget()
        window.process.send_signal(signal.SIGCONT)
        await window.until_drawn("#general")
        window.type(b"\td\r")
        await until_stored(server, ada, "cd")


def _until_stopped(pid: int) -> None:
    """The kernel alone knows: only looking can tell when."""
    end = time.monotonic() + DEADLINE
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < end, "it was not stopped"
        time.sleep(0.02)


def _until_kept(state: Path, text: bytes) -> None:
    """Another process writes it: only looking can tell when."""
    end = time.monotonic() + DEADLINE
    while not any(text in file.read_bytes() for file in state.rglob("drafts/*/*.json")):
        assert time.monotonic() < end, "it was not kept"
        time.sleep(0.02)


def _open_to_others(state: Path) -> list[Path]:
    return [file for file in state.rglob("*") if file.stat().st_mode & 0o077]
