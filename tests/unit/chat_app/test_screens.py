"""What the screens look like: their text, compared with what is kept in snapshots/ (UPDATE_SNAPSHOTS=1 writes anew).

Only text counts, and what differs from run to run (times, ports, round trips) is made equal: colours, fonts and the
markup of the picture may change. Everything is put there by events; no server is needed.
"""

import contextlib
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from onesocket.chat.app import ChatApp
from onesocket.chat.app.model.outbox import Fate
from onesocket.chat.app.model.reducer import renewed
from onesocket.chat.app.model.things import Message
from onesocket.chat.app.model.world import World
from onesocket.chat.app.screens.chat import ChatScreen
from onesocket.chat.app.session import Server, Session
from onesocket.client.status import Change
from onesocket.errors import ConnectionLost
from onesocket.lifecycle.effects import Outcome
from onesocket.lifecycle.states import State
from onesocket.notices import NoticeLevel
from tests.unit.chat_app.bodies import ADA, BOB, GENERAL, RANDOM, after, begun, body, message
from tests.unit.chat_app.driver import Driver, running

PLACE = Path(__file__).parent / "snapshots"
SIZE = (100, 30)
MESSAGES: tuple[Message, ...] = (
    message(1, BOB, content="The first message, in two lines,\nof which this is the second."),
    message(2, ADA, content="[bold]An answer[/bold]", type=19, referenced_message=body(1)),
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
def _no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels don't dial: there is nobody."""

    async def joined(session: Session) -> Outcome:
        del session
        return Outcome.ALREADY_CONNECTED

    monkeypatch.setattr(Session, "join", joined)


def _failed(world: World, nonce: str) -> World:
    return replace(world, outbox=world.outbox.mark(nonce, Fate.FAILED, "the server said no"))


async def check(driver: Driver, name: str) -> None:
    kept = PLACE / f"{name}.txt"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        await driver.pilot.pause(1.0)
        PLACE.mkdir(exist_ok=True)
        kept.write_text(driver.screenshot() + "\n", "utf-8")
    assert kept.exists(), f"{kept} is missing; UPDATE_SNAPSHOTS=1 writes it"
    wanted = kept.read_text("utf-8")
    with contextlib.suppress(AssertionError):  # the difference tells more than the deadline
        await driver.until(lambda: driver.screenshot() + "\n" == wanted)
    assert driver.screenshot() + "\n" == wanted, f"{name} looks different; if that is meant: UPDATE_SNAPSHOTS=1"


async def chatting(driver: Driver) -> ChatScreen:
    """The chat with messages in it, without a server."""
    session = Session(Server("http://127.0.0.1:1/api/v10"), "t.o.ken", driver.app.notices)
    driver.app.session = session
    session.store.world = renewed(begun(), GENERAL, MESSAGES, since=0)
    screen = ChatScreen(session)
    driver.app.call_later(driver.app.push_screen, screen)
    await driver.until(lambda: driver.app.screen is screen)
    await driver.do(lambda: screen.open(GENERAL))
    await driver.until(lambda: len(driver.said) == len(MESSAGES))
    return screen


async def test_the_form() -> None:
    async with running(ChatApp(user="ada"), SIZE) as driver:
        await driver.until(lambda: driver.app.screen.query("#password"))
        driver.app.notices.post("sign-in-failed", NoticeLevel.ERROR, "Sign-in Failed", "the password is wrong")
        await driver.until(lambda: "wrong" in driver.screenshot())
        await check(driver, "form")


@pytest.mark.usefixtures("_no_line")
async def test_the_chat() -> None:
    async with running(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        typing = {"channel_id": str(GENERAL), "user_id": str(BOB)}
        now = screen.session.now
        screen.session.store.change(lambda world: after(("TYPING_START", typing), world=world, now=now))
        await driver.until(lambda: "bob is writing" in driver.screenshot())
        await check(driver, "chat")


@pytest.mark.usefixtures("_no_line")
async def test_two_panels_with_what_waits_and_what_failed() -> None:
    async with running(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        session = screen.session
        await driver.do(lambda: screen.open(RANDOM, beside=True))
        await driver.until(lambda: screen.active_channel == RANDOM)
        session.say(RANDOM, "this waits")
        failed = session.say(RANDOM, "this failed")
        session.store.change(lambda world: _failed(world, failed.nonce))
        await driver.until(lambda: len(driver.pending) == 2)
        session.notices.post("connection-lost", NoticeLevel.WARNING, "Connection Lost", "trying again in 3 s")
        await driver.until(lambda: "trying again" in driver.screenshot())
        await check(driver, "offline")


@pytest.mark.usefixtures("_no_line")
async def test_the_timeline() -> None:
    async with running(ChatApp(), SIZE) as driver:
        screen = await chatting(driver)
        add = screen.session.timeline.add
        add(Change(0.0, State.DISCONNECTED, State.CONNECTING, 1, "Connect", None))
        add(Change(1.0, State.CONNECTING, State.CONNECTED, 1, "Ready", None))
        add(Change(2.0, State.CONNECTED, State.BACKING_OFF, 1, "Ended", ConnectionLost("gone [b]away[/b]\x1b[2J")))
        await driver.press("f3")
        await driver.until(lambda: "Ended" in driver.screenshot())
        await check(driver, "timeline")
