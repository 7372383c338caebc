"""The terminal application moderates, and counts mentions: the server says what came of it."""

import pytest

from onesocket_chat.screens._menu import MenuScreen
from onesocket_discord.rest import Rest, RestError
from onesocket_discord.server import ChatServer
from tests.integration.chat_users import FAST, signed_in, stored
from tests.unit.onesocket_chat.driver import PASSWORD, AppDriver, signed_in_driver


async def choose(driver: AppDriver, number: int) -> None:
    """Choose an action about the highlighted message's author."""
    await driver.press("m")
    await driver.until(lambda: isinstance(driver.app.screen, MenuScreen))
    await driver.press(*("down" for _ in range(number)), "enter")


async def test_a_message_is_reported_and_its_author_blocked_banned_and_let_in_again(chat_server: ChatServer) -> None:
    async with signed_in(chat_server, "ada", "bob") as (ada, bob):
        assert ada.world.me is not None
        assert bob.world.me is not None
        ada_id, bob_id = ada.world.me.id, bob.world.me.id
        general = ada.channel("#general").id
        direct = await bob.session.direct(ada_id)
        assert direct is not None
        await bob.say("rude")
        await ada.until_said("rude")
        await ada.mark("rude")
        await choose(ada, 0)
        await ada.answer("it is rude")
        await ada.until_toast("reported")
        (report,) = await chat_server.service.reports.list_open()
        assert (report["author"], report["reporter"], report["reason"]) == ("bob", "ada", "it is rude")
        await choose(ada, 1)
        await ada.confirm("y")
        await ada.until(lambda: ada.world.blocked == {bob_id})
        async with Rest(bob.session._token, api_url=chat_server.api_url, token_type=None) as rest:
            with pytest.raises(RestError) as refused:
                await rest.send_message(direct.id, "and you, too")
        assert refused.value.code == 50007
        await choose(ada, 1)
        await ada.until(lambda: not ada.world.blocked)
        await choose(ada, 3)
        await ada.confirm("y")
        await bob.until(lambda: not bob.world.guilds)
        await ada.until_said()
        assert await stored(chat_server, general) == []
        code = await ada.session.invite(general)
        assert code is not None
        assert await bob.session.accept(code) is None
        await ada.do(ada.chat.show_bans)
        await ada.until_shown("bob: no reason was given")
        await ada.press("enter")
        await ada.until_toast("bans")
        assert await bob.session.accept(code) is not None


async def test_mentions_are_counted_from_before_and_after_the_sign_in(chat_server: ChatServer) -> None:
    ada, bob = [await chat_server.create_user(name, PASSWORD) for name in ("ada", "bob")]
    async with (
        Rest(ada, api_url=chat_server.api_url, token_type=None) as owner,
        Rest(bob, api_url=chat_server.api_url, token_type=None) as rest,
    ):
        ada_id = (await owner.request("GET", "/users/@me"))["id"]
        news = int((await owner.create_channel(int((await owner.guilds())[0]["id"]), "news"))["id"])
        await rest.send_message(news, f"<@{ada_id}>")
        async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST) as driver:
            await driver.until(lambda: driver.is_drawn("● #news  1"))
            await rest.send_message(news, "to nobody")
            await rest.send_message(news, f"hello <@{ada_id}>")
            await rest.send_message((await rest.create_dm(int(ada_id)))["id"], "psst")
            await driver.until(lambda: driver.is_drawn("● #news  2") and driver.is_drawn("● @bob  1"))
            await driver.press("f2")
            await driver.until(lambda: news not in driver.world.mentions)
            assert driver.chat.active_channel == news
