"""The chat with messages in it, without a server: panels don't dial."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock

from onesocket.lifecycle._effects import Outcome
from onesocket_chat import ChatApp
from onesocket_chat.model._chat_state import ChatState
from onesocket_chat.model._models import Message
from onesocket_chat.model._reducer import renew_history
from onesocket_chat.screens._chat import ChatScreen
from onesocket_chat.session import ChatSession, ServerAddress
from tests.unit.onesocket_chat.driver import AppDriver, running_app
from tests.unit.onesocket_chat.payloads import GENERAL, initial_state, message


async def _joined(_: ChatSession) -> Outcome:
    return Outcome.ALREADY_CONNECTED


@asynccontextmanager
async def offline_screen(
    size: tuple[int, int], state: ChatState, app: ChatApp | None = None, **options: Any
) -> AsyncIterator[AppDriver]:
    """The chat of this state in a terminal of this size; `options`: of `ChatScreen`."""
    with mock.patch.object(ChatSession, "join", _joined):
        async with running_app(app or ChatApp("127.0.0.1:1"), size) as driver:
            session = ChatSession(ServerAddress("http://127.0.0.1:1/api/v10"), "t.o.ken", driver.app.notices)
            driver.app.session = session
            session.store.state = state
            screen = ChatScreen(session, **options)
            driver.app.call_later(driver.app.push_screen, screen)
            await driver.until(lambda: driver.app.screen is screen)
            yield driver


@asynccontextmanager
async def offline_chat(
    size: tuple[int, int] = (100, 30),
    *,
    messages: Sequence[Message] = tuple(message(number) for number in range(1, 40)),
    state: ChatState | None = None,
    app: ChatApp | None = None,
    **options: Any,
) -> AsyncIterator[AppDriver]:
    """A chat in a terminal of this size, with these messages in #general, which is open; `options`: of `ChatScreen`."""
    world = renew_history(state or initial_state(), GENERAL, messages, since=0)
    async with offline_screen(size, world, app, **options) as driver:
        await driver.until(lambda: driver.chat.active_channel == GENERAL and len(driver.said) == len(messages))
        yield driver
