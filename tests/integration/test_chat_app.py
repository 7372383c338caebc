"""People at the chat, against a real server on loopback, several in one test."""

import asyncio
import os
import pty
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from onesocket.lifecycle._outbox import OutboxLimits
from onesocket.lifecycle._retry import ReconnectPolicy
from onesocket.lifecycle._states import State
from onesocket_chat import ChatApp
from onesocket_chat._credentials import Credentials, save
from onesocket_chat.model import _history
from onesocket_chat.model._outbox import DraftState
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._dialogs import ConfirmDialog
from onesocket_chat.screens._sign_in import SignInScreen
from onesocket_chat.screens._timeline import TimelineScreen
from onesocket_chat.session import SessionOptions, _history_loader
from onesocket_chat.widgets._message_list import MessageList
from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tests.integration.chat_users import signed_in
from tests.unit.onesocket_chat.driver import PASSWORD, AppDriver, running_app, signed_in_driver

pytestmark = pytest.mark.usefixtures("quick_logins")


def _has_all(driver: AppDriver, wanted: set[str]) -> bool:
    return set(driver.said) == wanted and not driver.pending


def _is_active(driver: AppDriver, channel_id: int) -> bool:
    return driver.chat.active_channel == channel_id


def _is_calm(driver: AppDriver) -> bool:
    return not driver.toasts


async def test_two_people_talk(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        await ada.say("hello bob")
        await bob.until_said("hello bob")
        await ada.until(lambda: ada.said == ["hello bob"] and not ada.pending)

        await bob.press("h")
        await ada.until(lambda: "bob is writing" in ada.screenshot())

        await bob.mark("hello bob")
        await bob.press("r")
        await bob.say("hello yourself")
        await ada.until_said("hello bob", "hello yourself")
        await ada.until(lambda: "↳ ada: hello bob" in ada.screenshot() and "writing" not in ada.screenshot())

        await bob.mark("hello yourself")
        await bob.press("e")
        await bob.say("hello, ada")
        await ada.until(lambda: ada.said == ["hello bob", "hello, ada"] and "edited" in ada.screenshot())

        await ada.mark("hello, ada")
        await ada.press("plus")
        await ada.answer()
        await bob.until(lambda: "👍 1" in bob.screenshot())

        await ada.mark("hello, ada")
        await ada.press("d")  # the owner may
        await ada.confirm("y")
        await bob.until_said("hello bob")
        assert not ada.toasts
        assert not bob.toasts


async def test_others_messages_are_neither_edited_nor_deleted(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        await ada.say("mine")
        await bob.mark("mine")
        await bob.press("e", "d")
        await bob.pilot.pause()
        assert bob.app.screen is bob.chat
        assert bob.said == ["mine"]


async def test_every_panel_lives_on_the_same_one_connection(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        guild_id = ada.channel("#general").guild_id
        assert guild_id is not None
        for name in ("one", "two", "three"):
            assert await ada.session.create_channel(guild_id, name) is not None
            await ada.until_channel(f"#{name}")
            await ada.open(f"#{name}", beside=True)
        assert len(ada.chat.panels) == 4
        assert ada.session.joins == 5
        for name in ("#one", "#two", "#three", "#general"):
            await bob.until_channel(name)
            await bob.open(name)
            await bob.say(f"to {name}")
        for panel in ada.chat.panels:
            await ada.do(partial(ada.chat.open, panel.channel_id))
            await ada.until(partial(_is_active, ada, panel.channel_id))
            await ada.until_said(f"to {ada.world.channels[panel.channel_id].title}")
        stats = chat_server.stats
        assert (stats.handshakes, stats.open, stats.sessions) == (2, 2, 2)
        await ada.press("ctrl+w")
        await ada.until(lambda: len(ada.chat.panels) == 3)


@pytest.mark.timeout(300)  # several processes and applications: long where the cores are busy
async def test_the_server_is_restarted_while_they_talk(tmp_path: Path) -> None:
    place = tmp_path / "chat.db"
    async with AsyncExitStack() as stack:
        first = ChatServer(place)
        await first.start()
        port, gateway_port = urlsplit(first.api_url).port, urlsplit(first.gateway_url).port
        assert port is not None
        assert gateway_port is not None
        drivers = await stack.enter_async_context(signed_in(first, "ada", "bob", "eve"))
        ada, bob, eve = drivers
        for number, driver in enumerate(drivers * 4):
            await driver.say(f"before {number}")
        await eve.until(lambda: len(eve.said) == 12)

        await first.stop()
        for driver in drivers:
            await driver.until_up(up=False)
            await driver.until_toast("connection-lost")
        await ada.say("typed while it was down: ada 1")
        await ada.say("typed while it was down: ada 2")
        await bob.say("typed while it was down: bob")
        await ada.until(lambda: [one.fate for one in ada.pending] == [DraftState.WAITING, DraftState.WAITING])
        assert "waiting for the connection" in ada.screenshot()

        second = await stack.enter_async_context(ChatServer(place, port=port, gateway_port=gateway_port))
        wanted = {f"before {number}" for number in range(12)} | {
            "typed while it was down: ada 1",
            "typed while it was down: ada 2",
            "typed while it was down: bob",
        }
        for driver in drivers:
            await driver.until_up()
            await driver.until(partial(_has_all, driver, wanted))
            assert len(driver.said) == len(wanted)
            await driver.until(partial(_is_calm, driver))
            assert driver.session.connection.changes[-1].new is State.CONNECTED
        assert ada.said == bob.said == eve.said
        in_order = [text for text in ada.said if "ada" in text and "down" in text]
        assert in_order == ["typed while it was down: ada 1", "typed while it was down: ada 2"]
        await second.wait_for(lambda stats: stats.open == 3 and stats.sessions == 3)
        async with Rest(await second.create_bot("auditor"), api_url=second.api_url) as rest:
            stored = [one["content"] async for one in rest.history(ada.channel("#general").id)]
        assert sorted(stored) == sorted(wanted)


async def test_a_request_that_was_lost_is_sent_again_and_stored_once(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada") as (ada,):
        # The first two answers are refusals with 429, the rest of the way out is the library's business.
        fault = chat_server.faults.rate_limit(0.05, "POST /channels/*/messages", times=2)
        await ada.say("once")
        await ada.until(lambda: ada.said == ["once"] and not ada.pending)
        assert fault.happened == 2
        await ada.say("twice")
        await ada.until_said("once", "twice")


async def test_resumes_and_new_sessions_lose_and_double_nothing(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        for number in range(4):
            if number == 1:
                await chat_server.faults.drop_connection(user="bob")
            if number == 2:
                await chat_server.faults.invalid_session(resumable=False, user="bob")
            if number == 3:
                await chat_server.faults.reconnect(user="bob")
            await ada.say(f"message {number}")
            everything = [f"message {one}" for one in range(number + 1)]
            await ada.until_said(*everything)
            await bob.until_said(*everything)
        await chat_server.wait_for(lambda stats: stats.open == 2)


async def test_scrolling_up_loads_what_is_older(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada") as (ada,):
        channel = ada.channel("#general").id
        async with Rest(
            await chat_server.create_user("loader", PASSWORD), api_url=chat_server.api_url, token_type=None
        ) as rest:
            for number in range(120):
                await rest.send_message(channel, f"line {number}")
        await ada.until(lambda: len(ada.said) == 120)
        await ada.press("ctrl+w")
    async with signed_in_driver(chat_server.api_url, "ada", register=False) as ada:
        await ada.open("#general")
        await ada.until_said(*(f"line {number}" for number in range(70, 120)))
        messages = ada.panel.query_one(MessageList)
        await ada.until(lambda: messages.is_at_end)
        messages.focus()
        await ada.press("home")
        await ada.until_said(*(f"line {number}" for number in range(20, 120)))
        assert messages.highlighted == 50  # still what was read
        await ada.press("home")
        await ada.until_said(*(f"line {number}" for number in range(120)))
        assert ada.world.history(channel).is_whole


async def test_one_searches_for_an_old_message_and_scrolls_on_from_there(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "MAX_MESSAGES", 40)
    for module in (_history, _history_loader):
        monkeypatch.setattr(module, "PAGE_SIZE", 20)
    loader = await chat_server.create_user("loader", PASSWORD)
    async with Rest(loader, api_url=chat_server.api_url, token_type=None) as rest:
        channel = (await rest.guild_channels((await rest.guilds())[0]["id"]))[0]["id"]
        for number in range(100):
            await rest.send_message(channel, "the needle" if number == 40 else f"line {number}.")
        async with signed_in(chat_server, "ada") as (ada,):
            messages = ada.panel.query_one(MessageList)
            await ada.until_said(*(f"line {number}." for number in range(80, 100)))
            await ada.type("ctrl+r", *"needle", "\r")
            await ada.until_shown("1 found")
            await ada.press("enter")
            await ada.until(lambda: "the needle" in ada.said and "line 99." not in ada.said)
            await ada.until(lambda: ada.is_drawn("the needle") and ada.app.focused is messages)

            await rest.send_message(channel, "written meanwhile")
            await ada.press("home")
            await ada.until(lambda: "line 12." in ada.said)
            while "line 75." not in ada.said:
                await ada.press("pagedown")
            numbers = [int(text[5:-1]) for text in ada.said]
            assert numbers == list(range(numbers[0], numbers[0] + 40))  # without a hole, and no more than are kept
            assert not ada.is_drawn("written meanwhile")
            await ada.press("end")
            await ada.until(lambda: ada.said[-1] == "written meanwhile" and messages.is_at_end)
            await ada.until_shown("written meanwhile")


async def test_unread_marks_and_reading_in_two_places(chat_server: ChatServer) -> None:
    async with (
        signed_in(chat_server, "ada", "bob") as (ada, bob),
        signed_in_driver(chat_server.api_url, "bob", register=False) as other,
    ):
        await bob.press("ctrl+w")
        await ada.say("news")
        for place in (bob, other):
            await place.until_shown("● #general")
        await bob.press("f2")
        await bob.until(lambda: bob.chat.panels and bob.said == ["news"])
        for place in (bob, other):
            await place.until_shown("● #general", shown=False)


async def test_a_reply_to_a_message_that_is_deleted_meanwhile_is_sent_by_itself(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        await ada.say("soon gone")
        await bob.mark("soon gone")
        await bob.press("r")
        await bob.until_shown("answering ada")
        await ada.mark("soon gone")
        await ada.press("d")
        await ada.confirm("y")
        await bob.until(lambda: "soon gone" not in bob.said)
        await bob.say("an answer to nothing")
        await bob.until_said("an answer to nothing")
        await ada.until_said("an answer to nothing")
        assert not bob.toasts
        assert bob.world.history(bob.channel("#general").id).messages[0].referenced_message is None


async def test_a_refused_message_is_marked_and_can_be_discarded_or_tried_again(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "bob") as (bob,):
        bob.session.send_message(bob.channel("#general").id, "one more")
        await bob.until_said("one more")
        bob.session.send_message(bob.channel("#general").id, "\u2003")  # the composer takes none of these
        await bob.until(lambda: [one.fate for one in bob.pending] == [DraftState.FAILED])
        assert "empty" in bob.pending[0].reason
        assert "request-send" in bob.toasts
        await bob.mark("\u2003")
        first_try = bob.pending[0].since
        await bob.press("t")
        await bob.until(
            lambda: [(one.fate, one.since > first_try) for one in bob.pending] == [(DraftState.FAILED, True)]
        )
        await bob.mark("\u2003")
        await bob.press("x")
        await bob.until(lambda: not bob.pending)
        await bob.say("something else")
        await bob.until_said("one more", "something else")
        await bob.until(lambda: not bob.toasts)


async def test_the_outbox_is_bounded_and_keeps_what_was_typed(chat_server: ChatServer) -> None:
    options = SessionOptions(outbox=OutboxLimits(messages=2, age=60.0), reconnect=ReconnectPolicy(initial=30.0))
    async with signed_in_driver(chat_server.api_url, "ada", options=options) as ada:
        await ada.open("#general")
        chat_server.faults.refuse_upgrade(503, times=None)
        await chat_server.faults.drop_connection()
        await ada.until(lambda: not ada.session.connection.is_connected)
        for text in ("one", "two", "three"):
            await ada.say(text)
        assert [one.content for one in ada.pending] == ["one", "two"]
        assert "request-send" in ada.toasts
        assert ada.screenshot().count("three") == 1  # still in the composer
        chat_server.faults.lift()
        await ada.press("f5")
        await ada.until(lambda: ada.said == ["one", "two"] and not ada.toasts)


async def test_what_waited_too_long_is_marked_as_failed(chat_server: ChatServer) -> None:
    options = SessionOptions(outbox=OutboxLimits(messages=5, age=0.2), reconnect=ReconnectPolicy(initial=30.0))
    async with signed_in_driver(chat_server.api_url, "ada", options=options) as ada:
        await ada.open("#general")
        with chat_server.faults.refuse_upgrade(503, times=None):
            await chat_server.faults.drop_connection()
            await ada.until(lambda: not ada.session.connection.is_connected)
            await ada.say("late")
            await ada.until(lambda: [one.fate for one in ada.pending] == [DraftState.FAILED])
            assert "waited" in ada.pending[0].reason


async def test_direct_messages(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        ada.chat.query_one("#members").focus()
        await ada.until(lambda: "bob" in ada.screenshot())
        members = ada.world.people_in(ada.channel("#general").id)
        bob_id = next(one.id for one in members if one.username == "bob")
        channel = await ada.session.direct(bob_id)
        assert channel is not None
        await ada.open("@bob")
        await ada.say("between us")
        await bob.until(lambda: any(one.title == "@ada" for one in bob.world.channels.values()))
        await bob.open("@ada")
        await bob.until_said("between us")


async def test_guilds_channels_and_invites(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        await ada.do(ada.chat.create_guild)
        await ada.answer("friends")
        await ada.until(lambda: "friends" in ada.screenshot())
        guild = next(one for one in ada.world.guilds.values() if one.name == "friends")
        general = ada.world.channels_of(guild.id)[0]
        await ada.chat.open(general.id)
        await ada.do(ada.chat.create_invite)
        await ada.until(lambda: "invite-made" in ada.toasts)
        code = ada.toasts["invite-made"].split("the code ")[1].split(";")[0]
        await bob.do(bob.chat.accept_invite)
        await bob.answer(code)
        await bob.until(lambda: any(one.name == "friends" for one in bob.world.guilds.values()))
        await ada.until(lambda: {one.username for one in ada.world.people_in(general.id)} == {"ada", "bob"})
        await ada.do(ada.chat.create_channel)
        await ada.answer("plans")
        await bob.until(lambda: any(one.title == "#plans" for one in bob.world.channels.values()))
        await bob.do(bob.chat.accept_invite)
        await bob.answer("nonsense")
        await bob.until(lambda: "request-join" in bob.toasts)


async def test_what_people_write_is_neither_markup_nor_terminal_control(chat_server: ChatServer) -> None:
    hostile = "[bold red]x[/] [@click=app.quit]y[/] \x1b[2J\x1b]0;title\x07 \u202eevil [/nonsense] [link='"
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        await ada.say("[b]first[/b]")
        async with Rest(
            await chat_server.create_user("mallory", PASSWORD), api_url=chat_server.api_url, token_type=None
        ) as rest:
            await rest.send_message(bob.channel("#general").id, hostile)
        await bob.until(lambda: len(bob.said) == 2)
        shown = bob.screenshot()
        assert "[b]first[/b]" in shown
        assert "[bold red]x[/] [@click=app.quit]y[/]" in shown
        assert "\x1b" not in bob.app.export_screenshot()
        assert "\u202e" not in bob.app.export_screenshot()


# --- coming and going ------------------------------------------------------------------------------------------------


async def test_signing_in_fails_aloud_and_the_toast_goes_with_success(chat_server: ChatServer) -> None:
    await chat_server.create_user("ada", PASSWORD)
    async with running_app(ChatApp(chat_server.api_url, "ada")) as ada:
        await ada.until(lambda: ada.app.screen.query("#password"))
        await ada.press(*"wrong password", "enter")
        await ada.until(lambda: "sign-in-failed" in ada.toasts)
        assert "wrong password" not in str(ada.toasts) + ada.screenshot()
        await ada.sign_in("ada", register=False)
        assert not ada.toasts


async def test_no_server_no_name_no_address() -> None:
    async with running_app(ChatApp("127.0.0.1:1")) as ada:
        await ada.until(lambda: ada.app.screen.query("#password"))
        await ada.press("f3")
        await ada.until(lambda: "must be texts" in ada.toasts.get("sign-in-failed", ""))
        await ada.press(*"ada", "tab", *PASSWORD, "enter")
        await ada.until(lambda: "127.0.0.1" in ada.toasts.get("sign-in-failed", ""))
        assert isinstance(ada.app.screen, SignInScreen)


async def test_a_first_attempt_that_fails_can_be_repeated(chat_server: ChatServer) -> None:
    chat_server.faults.refuse_upgrade(503)
    async with running_app(ChatApp(chat_server.api_url)) as ada:
        await ada.until(lambda: ada.app.screen.query("#password"))
        await ada.press(*"ada", "tab", *PASSWORD, "f2")
        await ada.until(lambda: "connection-failed" in ada.toasts)
        await ada.until(lambda: "FAILED" in ada.screenshot())
        await ada.press("f5")
        await ada.until(lambda: "CONNECTED" in ada.screenshot() and not ada.toasts)
        await ada.press("f3")
        await ada.until(lambda: isinstance(ada.app.screen, TimelineScreen))
        assert "connecting → connected" in ada.screenshot()


async def test_the_end_is_in_order_and_asks_if_something_was_not_sent(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada") as ada:
        await ada.open("#general")
        await ada.press("ctrl+q")
        await chat_server.wait_for(lambda stats: stats.open == 0)
        # Closed with 1000, and not dropped: a session that was dropped can be resumed and is still there.
        assert chat_server.stats.sessions == 0
    async with signed_in_driver(chat_server.api_url, "ada", register=False) as ada:
        await ada.open("#general")
        chat_server.faults.refuse_upgrade(503, times=None)
        await chat_server.faults.drop_connection()
        await ada.until(lambda: not ada.session.connection.is_connected)
        await ada.say("unsent")
        await ada.press("ctrl+q")
        await ada.until(lambda: isinstance(ada.app.screen, ConfirmDialog))
        assert "One message was not sent" in ada.screenshot()
        await ada.confirm("n")
        assert ada.pending


async def test_a_token_is_remembered_only_on_request_and_void_after_signing_out(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    place = tmp_path / "kept" / "chat.json"
    async with signed_in_driver(chat_server.api_url, "ada"):
        pass
    assert not place.exists()
    async with signed_in_driver(chat_server.api_url, "ada", register=False, remember=place):
        assert place.stat().st_mode & 0o777 == 0o600
    async with running_app(ChatApp(remember=place)) as ada:
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)
        kept = place.read_bytes()
        await ada.do(ada.app.sign_out)
        await ada.until(lambda: isinstance(ada.app.screen, SignInScreen))
        assert not place.exists()
    place.write_bytes(kept)
    place.chmod(0o600)
    async with running_app(ChatApp(remember=place)) as ada:
        await ada.until(lambda: list(ada.toasts) == ["sign-in-failed"])
        assert "4004" in ada.toasts["sign-in-failed"]
        assert not place.exists()
        assert isinstance(ada.app.screen, SignInScreen)


async def test_many_come_at_once(chat_server: ChatServer) -> None:
    """Every panel of a screen joins while the connection is still being dialled."""
    async with signed_in(chat_server, "ada") as (ada,):
        await asyncio.gather(*(ada.session.join() for _ in range(50)))
        assert (chat_server.stats.handshakes, chat_server.stats.open) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_command_in_order(
    chat_server: ChatServer, tmp_path: Path, number: signal.Signals
) -> None:
    token = await chat_server.create_user("ada", PASSWORD)
    save(Credentials(chat_server.api_url, "ada", token), tmp_path / "onesocket" / "chat.json")
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "onesocket", "chat", "--remember"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, _drain, loop, ours)  # a terminal that nobody reads would hold the application up
    try:
        await chat_server.wait_for(lambda stats: stats.open == 1, timeout=30)
        process.send_signal(number)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        await chat_server.wait_for(lambda stats: stats.open == 0)
        assert chat_server.stats.sessions == 0  # closed with 1000: nothing is left to be resumed
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()


def _drain(loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
    try:
        os.read(descriptor, 65_536)
    except OSError:  # the other side is closed
        loop.remove_reader(descriptor)
