"""The chat's page when the server is killed, stopped, or out of reach."""

import asyncio
import re
import signal
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import PagePerson, person, serve_process

pytestmark = pytest.mark.timeout(180)

EMPTY = {"code": 50006, "message": "Cannot send an empty message"}
"""An answer that the page can do nothing about."""


async def stored(person: PagePerson) -> list[str]:
    """Ask the server for its messages, oldest first, with the token of the page."""
    found: list[str] = await person.page.evaluate(
        """async () => {
            const channel = location.pathname.split('/')[3]
            const headers = { Authorization: sessionStorage.getItem('onesocket.token') }
            const answer = await fetch(`/api/v10/channels/${channel}/messages?limit=100`, { headers })
            return (await answer.json()).map((message) => message.content).reverse()
        }"""
    )
    return found


async def test_the_server_is_killed_in_traffic_and_nothing_is_lost_or_doubled(
    tmp_path: Path, chromium: Browser
) -> None:
    async with (
        serve_process(tmp_path) as server,
        person(chromium, server.url) as ada,
        person(chromium, server.url) as bob,
    ):
        await ada.sign_in("ada", new=True)
        await bob.sign_in("bob", new=True)
        for number in range(20):
            await ada.write(f"message {number}")
            if number == 9:
                await server.kill()
        notice = ada.page.locator(".notice")
        await expect(notice).to_contain_text("No connection")
        await expect(ada.pill).to_have_attribute("data-state", "waiting")
        waiting = ada.page.locator("article.is-pending")
        await expect(waiting.last).to_contain_text("message 19")
        await expect(waiting.last.locator(".fate")).to_contain_text("Waits for the connection")
        box = await notice.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1200
        await server.start()
        await ada.connected()
        await expect(notice).to_have_count(0)
        await expect(waiting).to_have_count(0)
        assert await stored(ada) == [f"message {number}" for number in range(20)]
        await bob.connected()
        await expect(bob.message("message 19")).to_be_visible()
        assert [text for text in await bob.texts() if text == "message 19"] == ["message 19"]
        # The timeline tells what happened.
        await ada.pill.get_by_role("button", name="Connected").click()
        timeline = ada.page.get_by_label("Changes of the connection")
        await expect(timeline).to_contain_text("The connection was lost.")
        await expect(timeline).to_contain_text("A new session.")


async def test_a_stopped_server_is_noticed_and_what_is_written_meanwhile_is_sent_once(
    tmp_path: Path, chromium: Browser
) -> None:
    async with (
        serve_process(tmp_path, "--heartbeat-interval", "0.5") as server,
        person(chromium, server.url) as ada,
    ):
        await ada.sign_in("ada", new=True)
        await ada.write("before")
        await ada.sent("before")
        server.signal(signal.SIGSTOP)
        await ada.write("written while it was stopped")
        await expect(ada.pill).to_have_attribute("data-state", "waiting")
        server.signal(signal.SIGCONT)
        await ada.connected()
        await ada.sent("written while it was stopped")
        assert await stored(ada) == ["before", "written while it was stopped"]


async def test_what_waits_survives_a_reload_and_is_sent_by_one_of_two_tabs(tmp_path: Path, chromium: Browser) -> None:
    async with serve_process(tmp_path) as server, person(chromium, server.url) as ada:
        await ada.page.goto(server.url)
        await ada.page.get_by_label("Stay signed in").check()
        await ada.page.get_by_role("button", name="Create an account").click()
        await ada.sign_in_here("ada")
        await server.kill()
        await ada.write("kept by the browser")
        await expect(ada.message("kept by the browser")).to_have_class(re.compile("is-pending"))
        await server.start()
        second = await ada.page.context.new_page()
        await asyncio.gather(ada.page.reload(), second.goto(server.url))
        await ada.connected()
        await ada.sent("kept by the browser")
        await expect(second.locator(".content", has_text="kept by the browser")).to_have_count(1)
        await expect(second.locator(".fate")).to_have_count(0)
        await expect(ada.message("kept by the browser")).to_have_count(1)


async def test_an_answer_that_is_lost_does_not_double_a_message(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada")
        with server.faults.lose_answers(route="POST /channels/*/messages", times=2):
            await ada.write("once")
            await ada.sent("once")
        await ada.write("twice")
        await ada.sent("twice")
        assert await stored(ada) == ["once", "twice"]


async def test_a_lost_connection_is_resumed_and_misses_nothing(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    token = await server.create_user("bob", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as bob:
        general = (await bob.guild_channels((await bob.guilds())[0]["id"]))[0]["id"]
        await ada.sign_in("ada")
        with server.faults.refuse_upgrade(503, times=1):
            await server.faults.drop_connection(user="ada")
            await bob.send_message(general, "said while the line was down")
            await expect(ada.message("said while the line was down")).to_be_visible()
        await server.wait_for(lambda stats: stats.resumes == 1)
        # Op 9 false: the session is gone, and what was edited meanwhile is loaded again.
        edited = await bob.send_message(general, "not final")
        await expect(ada.message("not final")).to_be_visible()
        with server.faults.refuse_upgrade(503, times=1):
            await server.faults.invalid_session(user="ada", resumable=False)
            await bob.edit_message(general, edited["id"], "final text")
            await expect(ada.message("final text")).to_be_visible()
        await ada.connected()


async def test_a_message_that_is_refused_says_why_and_comes_back(server: ChatServer, chromium: Browser) -> None:
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada")
        await ada.field.fill("x" * 2_001)
        await expect(ada.page.locator(".count")).to_have_text("-1")
        await ada.field.press("Enter")
        await expect(ada.page.locator(".notice")).to_contain_text("at most 2000 characters")
        await ada.write("short enough")
        await ada.sent("short enough")
        await expect(ada.page.locator(".notice")).to_have_count(0)
        # The channel is deleted while a message waits.
        await ada.page.get_by_role("button", name="New channel in onesocket").click()
        await ada.page.get_by_label("Its name").fill("gone")
        await ada.page.keyboard.press("Enter")
        await ada.open("gone")
        await ada.page.route("**/api/v10/channels/*/messages", lambda route: route.fulfill(status=400, json=EMPTY))
        await ada.write("nobody wants this")
        failed = ada.page.locator("article.is-failed")
        await expect(failed).to_contain_text("Not sent. A message can’t be empty.")
        await ada.page.unroute("**/api/v10/channels/*/messages")
        await failed.get_by_role("button", name="Discard").click()
        await expect(failed).to_have_count(0)
        await expect(ada.field).to_have_value("nobody wants this")
