"""The chat's page in Firefox and in WebKit while its server is killed, stopped, or out of reach."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from onesocket_discord.server import ChatServer
from tests.e2e.chat_browser import serve_process

from .chat_page import ChatPage
from .tab import Profile

pytestmark = pytest.mark.timeout(180)

# The server's messages, oldest first, by the token of the page.
_STORED = """async () => {
    const channel = location.pathname.split('/')[3];
    const headers = { Authorization: sessionStorage.getItem('onesocket.token') };
    const answer = await fetch(`/api/v10/channels/${channel}/messages?limit=100`, { headers });
    return (await answer.json()).map((message) => message.content).reverse();
}"""


async def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path, profile: Profile) -> None:
    async with serve_process(tmp_path) as server:
        ada = ChatPage(await profile.new_tab(), server.url)
        await ada.sign_in("ada", new=True)
        texts = [f"message {number:02}" for number in range(10)]
        for text in texts:
            await ada.write(text)
            if text == texts[4]:
                await server.kill()
        await ada.tab.see(".notice", "No connection")
        await ada.disconnected()
        await ada.tab.see("article.is-pending .fate", "Waits for the connection")
        await server.start()
        await ada.tab.reload()
        await ada.connected()
        for text in texts:
            await ada.sent(text)
        assert await ada.tab.evaluate(_STORED) == texts


async def test_a_stopped_server_is_noticed_and_what_waits_is_sent_once(tmp_path: Path, profile: Profile) -> None:
    async with serve_process(tmp_path, "--heartbeat-interval", "0.5") as server:
        ada = ChatPage(await profile.new_tab(), server.url)
        await ada.sign_in("ada", new=True)
        await ada.write("before")
        await ada.sent("before")
        server.signal(signal.SIGSTOP)
        await ada.write("written while it was stopped")
        await ada.disconnected()
        server.signal(signal.SIGCONT)
        await ada.connected()
        await ada.sent("written while it was stopped")
        assert await ada.tab.evaluate(_STORED) == ["before", "written while it was stopped"]
        # The timeline tells what happened.
        await ada.tab.click(".connection button")
        await ada.tab.see(".timeline", "The connection was lost.")


async def test_what_is_written_while_the_server_refuses_waits_and_is_sent_once(
    server: ChatServer, profile: Profile
) -> None:
    ada = ChatPage(await profile.new_tab(), server.page_url)
    await ada.sign_in("ada", new=True)
    with server.faults.refuse_upgrade(503, times=None):
        await server.faults.drop_connection(user="ada")
        await ada.disconnected()
        await ada.write("waits")
        await ada.tab.see("article.is-pending", "waits")
    await ada.connected()
    await ada.sent("waits")
    assert await ada.tab.evaluate(_STORED) == ["waits"]
    assert server.stats.open == 1
