"""A message is stored once, also if its answer is lost and the server enforces its nonce no longer."""

import time
from pathlib import Path

import pytest

from onesocket.lifecycle._outbox import OutboxLimits
from onesocket_chat.model._outbox import DraftState
from onesocket_chat.session import SessionOptions
from onesocket_discord.rest import RequestLost, Rest
from onesocket_discord.server import ChatServer
from tests.integration.chat_users import FAST, stored
from tests.unit.onesocket_chat.driver import PASSWORD, AppDriver, signed_in_driver

pytestmark = [
    pytest.mark.timeout(180),  # several applications: long where the cores are busy
    pytest.mark.usefixtures("quick_logins"),
]
ELEVEN_MINUTES = 660.0
POST = "POST /channels/*/messages"


def pass_minutes(chat_server: ChatServer) -> None:
    """Eleven minutes pass by the server's clock: after ten it enforces a nonce no longer."""
    chat_server.service._context.ids._clock = lambda: time.time() + ELEVEN_MINUTES


async def lose_the_answer(chat_server: ChatServer, driver: AppDriver, text: str) -> int:
    """Have the server store a message of which its author hears nothing: neither the answer nor the event."""
    await driver.open("#general")
    chat_server.faults.delay_dispatches(3600.0)
    lost = chat_server.faults.lose_answers(POST)
    await driver.say(text)
    await lost.wait()
    return driver.channel("#general").id


async def test_a_lost_answer_is_a_request_that_was_done(chat_server: ChatServer) -> None:
    token = await chat_server.create_user("ada", PASSWORD)
    async with Rest(token, api_url=chat_server.api_url, token_type=None) as rest:
        channel = int((await rest.guild_channels((await rest.guilds())[0]["id"]))[0]["id"])
        lost = chat_server.faults.lose_answers(POST)
        with pytest.raises(RequestLost) as caught:
            await rest.send_message(channel, "once", nonce="n", resend=False)
        assert not caught.value.retryable
        assert lost.happened == 1
        pass_minutes(chat_server)
        (message,) = await rest.messages(channel)
        assert (message["content"], message["nonce"]) == ("once", "n")  # by which its author knows it again
        lost = chat_server.faults.lose_answers(POST)
        await rest.send_message(channel, "with a retry", nonce="m")
        assert lost.happened == 1
    assert await stored(chat_server, channel) == ["once", "with a retry"]


async def test_an_application_that_slept_for_longer_than_nonces_last_sends_nothing_twice(
    chat_server: ChatServer,
) -> None:
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST) as ada:
        general = await lose_the_answer(chat_server, ada, "once")
        pass_minutes(chat_server)
        await ada.until(lambda: not ada.pending)
        await ada.say("twice")
        chat_server.faults.lift()
        await ada.until_said("once", "twice")
        await ada.until(lambda: not ada.pending and not ada.toasts)
        assert await stored(chat_server, general) == ["once", "twice"]


async def test_an_application_that_ended_and_came_back_later_sends_nothing_twice(
    chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onesocket_chat.session._message_sender._MIN_BACKOFF", 3600.0)  # it ends before it looks
    async with signed_in_driver(chat_server.api_url, "ada", options=FAST, drafts=tmp_path) as ada:
        general = await lose_the_answer(chat_server, ada, "once")
        await ada.say("never sent before")
        await ada.press("ctrl+q", "y")
        await chat_server.wait_for(lambda stats: stats.open == 0)
    chat_server.faults.lift()
    pass_minutes(chat_server)
    lines = [f"line {number}" for number in range(120)]
    async with Rest(
        await chat_server.create_user("bob", PASSWORD), api_url=chat_server.api_url, token_type=None
    ) as bob:
        for line in lines:  # so that it is not on the newest page any more
            await bob.send_message(general, line)
    async with signed_in_driver(chat_server.api_url, "ada", register=False, options=FAST, drafts=tmp_path) as ada:
        await ada.open("#general")
        await ada.until(lambda: ada.said[-1:] == ["never sent before"] and not ada.pending)
    assert await stored(chat_server, general) == ["once", *lines, "never sent before"]


async def test_what_waited_too_long_for_an_answer_is_marked_until_it_turns_out_to_be_stored(
    chat_server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "onesocket_chat.session._message_sender._MIN_BACKOFF", 3600.0
    )  # the line is down before it looks
    options = SessionOptions(outbox=OutboxLimits(messages=5, age=2.0), reconnect=FAST.reconnect)
    async with signed_in_driver(chat_server.api_url, "ada", options=options) as ada:
        general = await lose_the_answer(chat_server, ada, "once")
        chat_server.faults.refuse_upgrade(503, times=None)
        await chat_server.faults.drop_connection(user="ada")
        await ada.until(lambda: [one.fate for one in ada.pending] == [DraftState.FAILED])
        await ada.until_shown("which may have it")
        pass_minutes(chat_server)
        chat_server.faults.lift()
        await ada.until_said("once")
        await ada.until(lambda: not ada.pending and not ada.toasts)
        assert await stored(chat_server, general) == ["once"]
