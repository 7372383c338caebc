"""Written text is never lost, displayed messages are read, and a void token leads back to the form."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.widgets import Input

from onesocket_chat import ChatApp
from onesocket_chat._credentials import Credentials, save
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._sign_in import SignInScreen
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._message_list import MessageList
from onesocket_discord.rest import Accounts, Rest
from onesocket_discord.server import ChatServer
from tests.integration.chat_users import FAST, composer_text, stored
from tests.unit.onesocket_chat.driver import PASSWORD, AppDriver, running_app, signed_in_driver

pytestmark = [
    pytest.mark.timeout(180),  # several applications: long where the cores are busy
    pytest.mark.usefixtures("quick_logins"),
]


@pytest.fixture
async def rest(chat_server: ChatServer) -> AsyncIterator[Rest]:
    """Bob, at work on the API."""
    async with Rest(
        await chat_server.create_user("bob", PASSWORD), api_url=chat_server.api_url, token_type=None
    ) as one:
        yield one


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_what_is_typed_at_once_is_stored_as_it_was_typed(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.type(*"see you at 18:45", "\r", *"abd", "\x7f", "c", "\r", *"one", "\n", *"two", "\r", *"left")
        await ada.until_said("see you at 18:45", "abc", "one\ntwo")
        assert composer_text(ada) == "left"
        assert await stored(chat_server, ada.channel("#general").id) == ["see you at 18:45", "abc", "one\ntwo"]


async def test_keys_after_those_that_lead_elsewhere_go_there(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        guild_id = ada.channel("#general").guild_id
        assert guild_id is not None
        await ada.session.create_channel(guild_id, "other")
        await ada.until_channel("#other")
        # Back to the channels, down to the next one, open it, write there: all in one go.
        await ada.type(*"here", "f4", "down", "\r", *"there", "\r")
        await ada.until(lambda: ada.chat.active_channel == ada.channel("#other").id)
        await ada.until_said("there")
        assert await stored(chat_server, ada.channel("#other").id) == ["there"]
        assert await stored(chat_server, ada.channel("#general").id) == []
        await ada.open("#general")
        assert composer_text(ada) == "here"


# --- drafts ----------------------------------------------------------------------------------------------------------


async def test_a_draft_outlives_escape_the_panel_the_channel_and_the_end(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST, drafts=tmp_path) as ada:
        await ada.open("#general")
        guild_id = ada.channel("#general").guild_id
        assert guild_id is not None
        await ada.session.create_channel(guild_id, "other")
        await ada.until_channel("#other")
        await ada.type(*"half a sentence")
        await ada.press("escape", "escape")
        assert composer_text(ada) == "half a sentence"
        await ada.press("f8")
        await ada.until(lambda: not ada.chat.panels)
        await ada.open("#general")
        assert composer_text(ada) == "half a sentence"
        await ada.open("#other")
        assert composer_text(ada) == ""
        await ada.type(*"another")
        await ada.open("#general")
        assert composer_text(ada) == "half a sentence"
        await ada.press("ctrl+q")
        await chat_server.wait_for(lambda stats: stats.open == 0)
    async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST, drafts=tmp_path) as ada:
        await ada.open("#general")
        assert ada.is_drawn("half a sentence")
        await ada.press("enter")
        await ada.until_said("half a sentence")
        await ada.open("#other")
        assert composer_text(ada) == "another"
    async with signed_in_driver(chat_server.api_url, "bob", options=FAST, drafts=tmp_path) as bob:
        await bob.open("#other")
        assert composer_text(bob) == ""  # another account's
    async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST, drafts=tmp_path) as ada:
        await ada.open("#general")
        assert composer_text(ada) == ""  # sent
        assert await stored(chat_server, ada.channel("#general").id) == ["half a sentence"]


async def test_an_answer_is_still_one_after_another_channel(chat_server: ChatServer, rest: Rest) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        general = ada.channel("#general")
        asked = await rest.send_message(general.id, "who?")
        await ada.open("#general")
        await ada.mark("who?")
        await ada.type("r", *"me")
        await ada.press("f8")
        await ada.open("#general")
        await ada.until(lambda: ada.is_drawn("answering bob"))
        await ada.press("enter")
        await ada.until_said("who?", "me")
        (answer, _) = await rest.messages(general.id)
        assert answer["message_reference"]["message_id"] == asked["id"]
        await ada.mark("who?")
        await ada.type("r", *"no, you")
        await ada.press("escape")
        assert composer_text(ada) == "no, you"  # a message of its own
        await ada.press("enter")
        await ada.until_said("who?", "me", "no, you")
        assert (await rest.messages(general.id))[0].get("message_reference") is None


async def test_an_edit_that_is_refused_is_in_the_composer_again(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.say("frist")
        await ada.until_said("frist")
        await ada.type(*"my draft")
        await ada.mark("frist")
        await ada.press("e")
        assert composer_text(ada) == "frist"
        await ada.press("escape")
        assert composer_text(ada) == "my draft"
        await ada.mark("frist")
        await ada.press("e")
        ada.panel.query_one(Composer).write("first, and " + "much too long " * 200)
        await ada.press("enter")
        await ada.until_toast("request-edit")
        await ada.until(lambda: composer_text(ada) == "my draft")  # not empty: the edit waits
        await ada.mark("frist")
        await ada.press("e")
        assert composer_text(ada).startswith("first, and much too long")
        await ada.press("f8")
        await ada.open("#general")
        assert composer_text(ada).startswith("first, and much too long")
        ada.panel.query_one(Composer).write("first")
        await ada.press("enter")
        await ada.until_said("first")
        assert await stored(chat_server, ada.channel("#general").id) == ["first"]
        assert composer_text(ada) == "my draft"

        await ada.press("ctrl+a", "alt+k")
        await ada.until(lambda: composer_text(ada) == "")
        await ada.mark("first")
        await ada.press("e")
        ada.panel.query_one(Composer).write("x" * 2_500)
        await ada.press("enter")
        await ada.until(lambda: composer_text(ada) == "x" * 2_500)
        assert ada.is_drawn("editing")


async def test_an_edit_of_a_message_that_is_gone_becomes_a_draft(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.say("gone")
        await ada.until_said("gone")
        await ada.mark("gone")
        await ada.press("e")
        ada.panel.query_one(Composer).write("what it should say")
        (message,) = ada.world.history(ada.channel("#general").id).messages
        await ada.session.delete(message)
        await ada.until_said()
        await ada.press("enter")
        await ada.until_toast("request-edit")
        await ada.until(lambda: composer_text(ada) == "what it should say")
        await ada.press("escape")
        assert composer_text(ada) == "what it should say"
        await ada.press("enter")
        await ada.until_said("what it should say")


async def test_a_message_that_is_refused_is_in_the_composer_again(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        ada.panel.query_one(Composer).write("y" * 2_001)
        await ada.type("\r", *"and more")
        await ada.until_toast("request-send")
        assert composer_text(ada).replace("\n", "") == "y" * 2_001 + "and more"


# --- what is seen is read --------------------------------------------------------------------------------------------


async def test_the_conversation_before_ones_eyes_is_read(chat_server: ChatServer, rest: Rest) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        general = ada.channel("#general").id
        await ada.open("#general")
        async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST) as elsewhere:
            for number in range(30):
                await rest.send_message(general, f"news {number}")
            await ada.until_said(*(f"news {number}" for number in range(30)))
            for place in (ada, elsewhere):
                await place.until(lambda place=place: not place.world.is_unread(general))  # type: ignore[misc]
                await place.until_shown("● #general", shown=False)
            # The server knows: whoever signs in now sees nothing new.
            async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST) as later:
                assert not later.world.is_unread(general)

            messages = ada.panel.query_one(MessageList)
            messages.scroll_to(y=2, animate=False)
            await ada.until(lambda: not messages.is_at_end)
            await rest.send_message(general, "not seen yet")
            for place in (ada, elsewhere):
                await place.until_shown("● #general")
            assert ada.world.is_unread(general)
            messages.scroll_end(animate=False)
            for place in (ada, elsewhere):
                await place.until_shown("● #general", shown=False)


# --- a void token ----------------------------------------------------------------------------------------------------


async def is_at_the_form(driver: AppDriver) -> None:
    await driver.until(lambda: isinstance(driver.app.screen, SignInScreen), "the form")
    await driver.until(lambda: list(driver.toasts) == ["sign-in-failed"])
    assert "no longer accepts your sign-in" in driver.toasts["sign-in-failed"]
    await driver.until(lambda: driver.is_drawn("no longer accepts your sign-in"))
    assert driver.app.session is None


async def test_a_token_that_the_gateway_refuses_leads_to_the_form_and_loses_nothing(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    token = await chat_server.create_user("ada", PASSWORD)
    place = tmp_path / "chat.json"
    save(Credentials(chat_server.api_url, "ada", token), place)
    async with running_app(ChatApp(remember=place, options=FAST)) as ada:
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)
        await ada.open("#general")
        general = ada.channel("#general").id
        chat_server.faults.refuse_upgrade(503, times=None)
        await chat_server.faults.drop_connection(user="ada")
        await ada.until_up(up=False)
        await ada.type(*"waits", "\r", *"half a")
        await Accounts(chat_server.api_url).logout(token)  # signed out elsewhere
        await ada.press("f3")  # whatever is open, too
        chat_server.faults.lift()
        await is_at_the_form(ada)
        assert not place.exists()
        assert ada.app.screen.query_one("#name", Input).value == "ada"
        await ada.type(*PASSWORD, "\r")
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)
        assert not ada.toasts
        await ada.open("#general")
        assert composer_text(ada) == "half a"
        await ada.until_said("waits")
        assert await stored(chat_server, general) == ["waits"]


async def test_a_token_that_a_request_shows_to_be_void_leads_to_the_form(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.type(*"half a")
        session, general = ada.session, ada.channel("#general").id
        await Accounts(chat_server.api_url).logout(session._token)
        await session.invite(general)
        await is_at_the_form(ada)
        await chat_server.wait_for(lambda stats: stats.open == 0)
        await ada.type(*PASSWORD, "\r")
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)
        await ada.open("#general")
        assert composer_text(ada) == "half a"


async def test_another_account_sees_nothing_of_the_first(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.type(*"mine")
        await ada.do(ada.app.sign_out)
        await ada.until(lambda: isinstance(ada.app.screen, SignInScreen))
        await ada.sign_in("bob")
        await ada.open("#general")
        assert composer_text(ada) == ""
        await ada.type(*"of bob")
        await ada.do(ada.app.sign_out)
        await ada.until(lambda: isinstance(ada.app.screen, SignInScreen))
        await ada.sign_in("ada", register=False)
        await ada.open("#general")
        assert composer_text(ada) == "mine"
