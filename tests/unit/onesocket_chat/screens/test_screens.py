"""The screens: their text, compared with the files in snapshots/ (UPDATE_SNAPSHOTS=1 writes anew).

Only text counts, and what differs from run to run (times, ports, round trips) is made equal: colours, fonts and the
markup of the picture may change. Everything is put there by events; no server is needed.
"""

import contextlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from onesocket.client._status import Change
from onesocket.errors import ConnectionReset
from onesocket.lifecycle._effects import Outcome
from onesocket.lifecycle._states import State
from onesocket.notices import NoticeLevel
from onesocket_chat import ChatApp
from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._models import Message
from onesocket_chat.model._outbox import DraftState
from onesocket_chat.model._reducer import renew_history
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.screens._timeline import TimelineScreen
from onesocket_chat.session import ChatSession, ServerAddress
from tests.unit.onesocket_chat.driver import AppDriver, running_app
from tests.unit.onesocket_chat.payloads import (
    ADA,
    BOB,
    GENERAL,
    RANDOM,
    initial_state,
    message,
    message_body,
    state_after,
)

SNAPSHOTS = Path(__file__).parent / "snapshots"
SIZE = (100, 30)
MESSAGES: tuple[Message, ...] = (
    message(1, BOB, content="The first message, in two lines,\nof which this is the second."),
    message(2, ADA, content="[bold]An answer[/bold]", type=19, referenced_message=message_body(1)),
    message(
        3,
        3,
        content="A long one " + "that has to be wrapped " * 5,
        edited_timestamp="2026-01-02T04:00:00+00:00",
        reactions=[{"emoji": {"id": None, "name": "👍"}, "count": 2, "me": True}],
    ),
    message(1000, BOB, content="\x1b[31mnot red\x1b[0m \u202eforwards"),
)


@pytest.fixture
def _no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels don't dial: there is no server."""

    async def joined(session: ChatSession) -> Outcome:
        del session
        return Outcome.ALREADY_CONNECTED

    monkeypatch.setattr(ChatSession, "join", joined)


def _failed(world: ChatState, nonce: str) -> ChatState:
    return replace(world, outbox=world.outbox.mark(nonce, DraftState.FAILED, "the server said no"))


async def check(driver: AppDriver, name: str) -> None:
    kept = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        await driver.pilot.pause(1.0)
        SNAPSHOTS.mkdir(exist_ok=True)
        kept.write_text(driver.screenshot() + "\n", "utf-8")
    assert kept.exists(), f"{kept} is missing; UPDATE_SNAPSHOTS=1 writes it"
    wanted = kept.read_text("utf-8")
    with contextlib.suppress(AssertionError):  # the difference tells more than the deadline
        await driver.until(lambda: driver.screenshot() + "\n" == wanted)
    assert driver.screenshot() + "\n" == wanted, f"{name} looks different; if that is meant: UPDATE_SNAPSHOTS=1"


async def chatting(driver: AppDriver) -> ChatScreen:
    """The chat with messages in it, without a server."""
    session = ChatSession(ServerAddress("http://127.0.0.1:1/api/v10"), "t.o.ken", driver.app.notices)
    driver.app.session = session
    session.store.state = renew_history(initial_state(), GENERAL, MESSAGES, since=0)
    screen = ChatScreen(session)
    driver.app.call_later(driver.app.push_screen, screen)
    await driver.until(lambda: driver.app.screen is screen)
    await driver.do(lambda: screen.open(GENERAL))
    await driver.until(lambda: len(driver.said) == len(MESSAGES))
    return screen


async def test_the_form() -> None:
    async with running_app(ChatApp(user="ada"), SIZE) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        driver.app.notices.post("sign-in-failed", NoticeLevel.ERROR, "Sign-in Failed", "the password is wrong")
        await driver.until(lambda: "wrong" in driver.screenshot())
        await check(driver, "form")


@pytest.mark.usefixtures("_no_connection")
async def test_the_chat() -> None:
    async with running_app(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        typing = {"channel_id": str(GENERAL), "user_id": str(BOB)}
        now = screen.session.now
        screen.session.store.change(lambda world: state_after(("TYPING_START", typing), world=world, now=now))
        await driver.until(lambda: "bob is writing" in driver.screenshot())
        await check(driver, "chat")


@pytest.mark.usefixtures("_no_connection")
async def test_two_panels_with_what_waits_and_what_failed() -> None:
    async with running_app(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        session = screen.session
        await driver.do(lambda: screen.open(RANDOM, beside=True))
        await driver.until(lambda: screen.active_channel == RANDOM)
        session.send_message(RANDOM, "this waits")
        failed = session.send_message(RANDOM, "this failed")
        session.store.change(lambda world: _failed(world, failed.nonce))
        await driver.until(lambda: len(driver.pending) == 2)
        session.notices.post("connection-lost", NoticeLevel.WARNING, "Connection Lost", "trying again in 3 s")
        await driver.until(lambda: "trying again" in driver.screenshot())
        await check(driver, "offline")


@pytest.mark.usefixtures("_no_connection")
async def test_the_timeline() -> None:
    async with running_app(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        add = screen.session.connection.changed
        add(Change(0.0, State.DISCONNECTED, State.CONNECTING, 1, "Connect", None))
        add(Change(1.0, State.CONNECTING, State.CONNECTED, 1, "ProtocolReady", None))
        add(
            Change(
                2.0, State.CONNECTED, State.BACKING_OFF, 1, "ConnectionGone", ConnectionReset("gone [b]away[/b]\x1b[2J")
            )
        )
        await driver.press("f3")
        await driver.until(lambda: "ConnectionGone" in driver.screenshot())
        await check(driver, "timeline")


@pytest.mark.usefixtures("_no_connection")
async def test_an_earlier_change_in_the_timeline_can_be_read_while_others_follow() -> None:
    async with running_app(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)

        def change(number: int) -> None:
            screen.session.connection.changed(
                Change(float(number), State.DISCONNECTED, State.CONNECTING, number, "Connect", None)
            )

        for number in range(1, 101):
            change(number)
        await driver.press("f3")
        await driver.until(lambda: driver.is_drawn("epoch 100"))  # the newest
        await driver.press("home")
        await driver.until(lambda: driver.is_drawn("epoch 5 "))
        timeline = driver.app.screen
        change(101)
        assert isinstance(timeline, TimelineScreen)
        timeline._show()  # as each second
        await driver.press("f12")
        assert driver.is_drawn("epoch 5 ")
        await driver.press("end")
        await driver.until(lambda: driver.is_drawn("epoch 101"))
        change(102)
        timeline._show()
        await driver.until(lambda: driver.is_drawn("epoch 102"))
