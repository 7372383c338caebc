"""Without an open channel a sentence is in the messages' place, and the keys that lead to some."""

import pytest

from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.widgets._no_channel import NoChannel
from tests.unit.onesocket_chat.offline import offline_chat, offline_screen
from tests.unit.onesocket_chat.payloads import guild, ready, state_after

NOWHERE = state_after(("READY", ready(guilds=[], private_channels=[])))
FRIENDLY = state_after(("READY", ready(guilds=[])))


@pytest.mark.parametrize("state", [NOWHERE, FRIENDLY], ids=["nobody known", "a conversation"])
async def test_somebody_in_no_server_reads_so_and_the_ways_into_one(state: ChatState) -> None:
    async with offline_screen((80, 24), state, is_first_run=True) as driver:
        await driver.until(lambda: driver.is_drawn("You are in no server yet"))
        for text in ("Ctrl-P, Use an invite", "Ctrl-P, New server", "Ctrl-K"):
            assert driver.is_drawn(text), driver.screenshot()
        assert not driver.is_drawn("Enter sends")  # there is nothing to write in
        await driver.do(lambda: driver.session._apply_event("GUILD_CREATE", guild()))
        await driver.until(lambda: driver.is_drawn("· the guild"))
        await driver.until(lambda: driver.is_drawn("Enter sends") and not driver.is_drawn("in no server"))


async def test_a_narrow_terminal_says_it_in_the_list_that_covers_the_rest() -> None:
    async with offline_screen((40, 12), NOWHERE) as driver:
        await driver.until(lambda: driver.is_drawn("Ctrl-P"))
        assert not driver.chat.query_one(NoChannel).display


async def test_servers_that_are_on_their_way_are_waited_for() -> None:
    async with offline_screen((80, 24), ChatState()) as driver:
        await driver.until(lambda: driver.is_drawn("Loading"))
        await driver.do(lambda: driver.session._apply_event("READY", ready()))
        await driver.until(lambda: driver.world.awaited)
        await driver.until(lambda: driver.is_drawn("Loading"))
        assert not driver.is_drawn("in no server")
        await driver.do(lambda: driver.session._apply_event("GUILD_DELETE", {"id": "10", "unavailable": True}))
        await driver.until(lambda: driver.is_drawn("You are in no server yet"))


async def test_a_closed_panel_leaves_the_keys_that_open_another() -> None:
    async with offline_chat((80, 24)) as driver:
        assert not driver.is_drawn("No channel is open")
        await driver.press("ctrl+w")
        await driver.until(lambda: driver.is_drawn("No channel is open") and driver.is_drawn("Ctrl-K"))


async def test_what_people_read_says_server() -> None:
    async with offline_screen((100, 30), NOWHERE) as driver:
        await driver.until(lambda: driver.is_drawn("You are in no server yet"))
        commands = [(one.title, one.help) for one in driver.app.get_system_commands(driver.chat)]
        assert ("New server", "Make a server, with one channel") in commands
        assert "guild" not in f"{commands} {driver.screenshot()}".lower()
        await driver.press("f1")
        await driver.until(lambda: driver.is_drawn("commands: servers"))
        assert "guild" not in driver.screenshot().lower()
