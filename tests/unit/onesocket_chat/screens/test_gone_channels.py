"""Channels that are deleted, or can't be seen any more, while they are open; and an account without any."""

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.widgets._composer import Composer
from onesocket_chat.widgets._sidebar import Sidebar
from tests.unit.onesocket_chat.offline import offline_chat
from tests.unit.onesocket_chat.payloads import GENERAL, GUILD, state_after

GONE = ("CHANNEL_DELETE", {"id": str(GENERAL), "type": 0, "guild_id": str(GUILD)})


async def test_nothing_is_sent_to_a_channel_that_is_gone_and_what_was_written_stays() -> None:
    async with offline_chat(messages=()) as driver:
        await driver.type(*"my text")
        driver.session.store.change(lambda world: state_after(GONE, world=world))
        await driver.until(lambda: driver.is_drawn("a channel that is gone"))
        assert driver.is_drawn("nothing can be sent here any more (F8 closes it)")
        assert not driver.is_drawn("loading")
        await driver.type("\r", "!")
        assert driver.panel.query_one(Composer).text == "my text!"
        assert not driver.pending


async def test_what_was_not_sent_to_a_channel_that_is_gone_is_found_and_discarded() -> None:
    async with offline_chat(messages=()) as driver:
        await driver.type(*"lost", "\r")
        await driver.until(lambda: driver.pending)
        driver.session.store.change(lambda world: state_after(GONE, world=world))
        await driver.press("f8")
        await driver.until(lambda: not driver.chat.panels)
        await driver.type("ctrl+k", *"gone", "\r")
        await driver.until(lambda: driver.chat.active_channel == GENERAL)
        await driver.press("shift+tab", "x")
        await driver.until(lambda: not driver.world.outbox.drafts)
        await driver.type("ctrl+k", *"gone")
        await driver.until(lambda: driver.is_drawn("Enter goes there"))
        assert not driver.is_drawn("with what was not sent there")


async def test_without_a_channel_the_list_says_what_to_do() -> None:
    async with offline_chat() as driver:
        assert not driver.is_drawn("No channels")
        driver.session.store.change(lambda world: ChatState(me=world.me))
        await driver.until(lambda: driver.is_drawn("No channels: Ctrl-P"))
        driver.chat.query_one(Sidebar).focus()
        await driver.press("enter", "space")
        assert driver.chat.active_channel == GENERAL  # the hint can't be chosen
