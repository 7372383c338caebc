"""Logins and passwords in the chat: seen, ended here and elsewhere, changed, with keys only and in narrow terminals."""

import re
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from onesocket_chat import ChatApp
from onesocket_chat._credentials import load
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._dialogs import ConfirmDialog
from onesocket_chat.screens._logins import LoginsScreen
from onesocket_chat.screens._password import PasswordScreen
from onesocket_chat.screens._sign_in import SignInScreen
from onesocket_discord.rest import Accounts, RestError
from onesocket_discord.server import ChatServer
from tests.integration.chat_users import FAST, composer_text
from tests.unit.onesocket_chat.driver import PASSWORD, AppDriver, running_app, signed_in_driver

pytestmark = [
    pytest.mark.timeout(180),  # several applications: long where the cores are busy
    pytest.mark.usefixtures("quick_logins"),
]
NARROW = (40, 12)
NEW_PASSWORD = "battery staple"


async def by_palette(driver: AppDriver, words: str, screen: type[object]) -> None:
    """Choose this in the command palette, with keys only."""
    await driver.press("ctrl+p")
    await driver.until(lambda: driver.app.screen.query("CommandInput"))
    await driver.press(*words)
    await driver.until(lambda: driver.app.screen.query_one("CommandList", OptionList).option_count == 1)
    await driver.press("enter")
    await driver.until(lambda: isinstance(driver.app.screen, screen), words)


async def show_logins(driver: AppDriver, number: int) -> None:
    await by_palette(driver, "logins", LoginsScreen)
    await has_logins(driver, number)


async def has_logins(driver: AppDriver, number: int) -> None:
    await driver.until(lambda: driver.app.screen.query_one("#logins", OptionList).option_count == number)


async def answer_yes(driver: AppDriver, question: str) -> None:
    await driver.until(lambda: isinstance(driver.app.screen, ConfirmDialog))
    await driver.until(lambda: question in " ".join(driver.screenshot().replace("│", " ").split()))
    await driver.press("y")


async def is_at_the_form(driver: AppDriver) -> None:
    await driver.until(lambda: isinstance(driver.app.screen, SignInScreen), "the form")
    assert driver.app.session is None


def token_of(driver: AppDriver) -> str:
    return driver.session._token


async def test_one_application_ends_the_login_of_another(chat_server: ChatServer) -> None:
    await Accounts(chat_server.api_url, user_agent="an old phone").register("ada", PASSWORD)
    async with (
        signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST) as there,
        signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST) as here,
    ):
        await there.open("#general")
        await there.type(*"half a")
        await show_logins(here, 3)
        for shown in ("an old phone", "onesocket-chat/", "this one, in use", "last used "):
            await here.until(lambda shown=shown: here.is_drawn(shown))  # type: ignore[misc]
        logins = await Accounts(chat_server.api_url).logins(token_of(here))
        assert len([one for one in logins if one.current]) == 1
        others = [row for row, one in enumerate(logins) if not one.current and one.client != "an old phone"]
        await here.press("home", *["down"] * others[0], "x")
        await answer_yes(here, "End the login of onesocket-chat/")
        await has_logins(here, 2)
        await is_at_the_form(there)
        await there.until(lambda: there.is_drawn("no longer accepts your sign-in"))
        await chat_server.wait_for(lambda stats: (stats.open, stats.sessions) == (1, 1))
        assert {one.client for one in await Accounts(chat_server.api_url).logins(token_of(here))} > {"an old phone"}
        await here.press("escape")
        await here.until(lambda: here.app.screen is here.chat)
        assert here.session.connection.is_connected
        await there.type(*PASSWORD, "\r")
        await there.until(lambda: isinstance(there.app.screen, ChatScreen) and there.world.guilds)
        await there.open("#general")
        assert composer_text(there) == "half a"


async def test_signing_out_everywhere_ends_both_and_needs_no_wide_terminal(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    place = tmp_path / "chat.json"
    async with (
        signed_in_driver(chat_server.api_url, "ada", options=FAST) as there,
        running_app(ChatApp(chat_server.api_url, options=FAST, remember=place), NARROW) as here,
    ):
        await here.sign_in("ada", register=False)
        await here.open("#general")
        await here.type(*"half a")
        await show_logins(here, 2)
        for shown in ("Where you are signed in", "this one", "a: sign out everywhere"):
            await here.until(lambda shown=shown: here.is_drawn(shown))  # type: ignore[misc]
        await here.press("a")
        await answer_yes(here, "Sign out everywhere")
        await is_at_the_form(here)
        await is_at_the_form(there)
        await chat_server.wait_for(lambda stats: (stats.open, stats.sessions) == (0, 0))
        assert not place.exists()
        assert not here.toasts  # here it was meant
        await there.until(lambda: there.is_drawn("no longer accepts your sign-in"))
        await here.sign_in("ada", register=False)
        assert len(await Accounts(chat_server.api_url).logins(token_of(here))) == 1
        await here.open("#general")
        assert composer_text(here) == "half a"


async def test_ending_the_login_in_use_signs_out(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        token = token_of(ada)
        await show_logins(ada, 1)
        await ada.press("x")
        await answer_yes(ada, "This is the login that you use here")
        await is_at_the_form(ada)
        await ada.until(lambda: not ada.toasts)
        with pytest.raises(RestError, match="401"):
            await Accounts(chat_server.api_url).logins(token)


async def test_a_login_that_is_ended_while_its_own_list_is_shown(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await show_logins(ada, 1)
        await ada.press("a")
        await ada.until(lambda: isinstance(ada.app.screen, ConfirmDialog))
        await Accounts(chat_server.api_url).sign_out_everywhere(token_of(ada))
        await is_at_the_form(ada)
        await ada.until(lambda: ada.is_drawn("no longer accepts your sign-in"))


async def test_a_request_that_fails_ends_nothing_and_says_so(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await show_logins(ada, 1)
        chat_server.faults.rate_limit(60.0, "POST /auth/sessions/logout", times=None)
        await ada.press("a")
        await answer_yes(ada, "Sign out everywhere")
        await ada.until_toast("request-everywhere")
        await ada.until_shown("Not Signed Out Everywhere")
        chat_server.faults.lift()
        assert ada.session.connection.is_connected
        token = token_of(ada)
        await Accounts(chat_server.api_url).sign_out_everywhere(token)  # elsewhere
        await is_at_the_form(ada)


# --- the password ----------------------------------------------------------------------------------------------------


async def fill_in(driver: AppDriver, old: str, new: str, again: str = "") -> None:
    for name, value in (("old", old), ("new", new), ("again", again or new)):
        driver.app.screen.query_one(f"#{name}", Input).value = value
    driver.app.screen.query_one("#again", Input).focus()
    await driver.press("enter")


async def test_a_new_password_keeps_this_application_signed_in_and_no_other(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    place = tmp_path / "chat.json"
    async with (
        signed_in_driver(chat_server.api_url, "ada", options=FAST) as there,
        running_app(ChatApp(chat_server.api_url, options=FAST, remember=place), NARROW) as here,
    ):
        await here.sign_in("ada", register=False)
        await here.open("#general")
        await here.type(*"said before", "\r", *"half a")
        await here.until_said("said before")
        old = token_of(here)
        await by_palette(here, "change pass", PasswordScreen)
        for shown in ("Change the password", "New password, again", "Escape: back"):
            await here.until(lambda shown=shown: here.is_drawn(shown))  # type: ignore[misc]
        await here.type(*PASSWORD, "\r", *NEW_PASSWORD, "\r", *NEW_PASSWORD, "\r")
        await is_at_the_form(there)
        await here.until(lambda: isinstance(here.app.screen, ChatScreen) and here.world.guilds)
        assert token_of(here) != old
        kept = load(place)
        assert kept is not None
        assert (kept.user, kept.token) == ("ada", token_of(here))
        await here.until_up()
        await here.until_said("said before")  # what was open is open again
        assert composer_text(here) == "half a"
        await here.type("!", "\r")
        await here.until_said("said before", "half a!")
        assert not here.toasts
        await chat_server.wait_for(lambda stats: (stats.open, stats.sessions) == (1, 1))
        with pytest.raises(RestError):
            await Accounts(chat_server.api_url).login("ada", PASSWORD)
        await Accounts(chat_server.api_url).login("ada", NEW_PASSWORD)
    async with running_app(ChatApp(options=FAST, remember=place)) as ada:
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)


async def test_what_is_wrong_with_a_password_is_one_sentence_and_the_form_stays(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        token = token_of(ada)
        await by_palette(ada, "change pass", PasswordScreen)
        for old, new, again, said, field in (
            (PASSWORD, "short", "", "at least 8 characters", "new"),
            (PASSWORD, NEW_PASSWORD, "battery stable", "not the same both times", "again"),
            ("", NEW_PASSWORD, "", "the old password is missing", "old"),
            *[("hunter22", NEW_PASSWORD, "", "the old password is wrong; nothing was changed", "old")] * 5,
            ("hunter22", NEW_PASSWORD, "", "too many tries: wait ", "old"),
        ):
            await fill_in(ada, old, new, again)
            await ada.until(lambda said=said: said in ada.toasts.get("request-password", ""), said)  # type: ignore[misc]
            await ada.until(lambda field=field: ada.app.focused is ada.app.screen.query_one(f"#{field}"))  # type: ignore[misc]
            await ada.until(lambda said=said: ada.is_drawn(said[:20]))  # type: ignore[misc]
            assert not re.search(f"{NEW_PASSWORD}|hunter22", ada.screenshot() + str(ada.toasts))
        await ada.press("h")
        await ada.until(lambda: not ada.toasts)  # it is being mended
        await ada.press("escape")
        await ada.until(lambda: ada.app.screen is ada.chat)
        assert token_of(ada) == token
        await Accounts(chat_server.api_url).login("ada", PASSWORD)
        assert chat_server.stats.handshakes == 1


async def test_a_change_whose_answer_is_lost_leads_to_the_form(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        await ada.type(*"half a")
        await by_palette(ada, "change pass", PasswordScreen)
        lost = chat_server.faults.lose_answers("PATCH /users/@me")
        await fill_in(ada, PASSWORD, NEW_PASSWORD)
        await lost.wait()
        await is_at_the_form(ada)
        await ada.until(lambda: ada.is_drawn("no longer accepts your sign-in"))
        await ada.type(*NEW_PASSWORD, "\r")
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen) and ada.world.guilds)
        await ada.open("#general")
        assert composer_text(ada) == "half a"


async def test_what_waits_to_be_sent_is_sent_with_the_new_token(chat_server: ChatServer) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        await ada.open("#general")
        chat_server.faults.refuse_upgrade(503, times=None)
        await chat_server.faults.drop_connection(user="ada")
        await ada.until_up(up=False)
        await ada.type(*"waits", "\r")
        await by_palette(ada, "change pass", PasswordScreen)
        await fill_in(ada, PASSWORD, NEW_PASSWORD)
        await ada.until(lambda: isinstance(ada.app.screen, ChatScreen))
        chat_server.faults.lift()
        await ada.press("f5")
        await ada.until_said("waits")
        await ada.until(lambda: not ada.pending)


async def test_registering_by_invite_asks_for_one_and_says_why() -> None:
    async with ChatServer(registration="invite") as server, running_app(ChatApp(server.api_url), NARROW) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        form = driver.app.screen
        form.query_one("#name", Input).value = "ada"
        form.query_one("#password", Input).value = PASSWORD
        assert not form.query_one("#invited").display
        await driver.press("f2")
        await driver.until_toast("sign-in-failed")
        assert "by invite only" in driver.toasts["sign-in-failed"]
        await driver.until(lambda: form.query_one("#invite").has_focus)
        made = await server.service.invites.create_for_server(server.service.default_guild, max_age=60, max_uses=1)
        await driver.press(*made["code"], "enter")
        await driver.until(lambda: isinstance(driver.app.screen, ChatScreen), "the chat")
        assert "sign-in-failed" not in driver.toasts
