"""A server that does not answer is noticed within the interval, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from onesocket.client._status import Change
from onesocket.errors import ConnectionRefused, OnesocketError
from onesocket.lifecycle._states import State
from onesocket.notices import Notices
from onesocket.testing._virtual_time import run_virtual
from onesocket_chat.session._background_tasks import BackgroundTasks
from onesocket_chat.session._connection_monitor import ConnectionMonitor
from onesocket_chat.session._request_errors import RequestErrors
from onesocket_chat.session._server_pulse import ServerPulse
from onesocket_chat.session._session_context import SessionContext
from onesocket_chat.session._state_store import StateStore
from onesocket_discord.rest import RequestLost, Rest, RestTimeout, ServerTrouble


class Server:
    """Answers, or is frozen; or fails with an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_frozen = False
        self.error: OnesocketError | None = None
        self.monitor = ConnectionMonitor()
        self.background = BackgroundTasks()
        store = StateStore()
        self.shown: list[float | None] = []
        store.listen(lambda: self.shown.append(self.pulse.silence))
        context = SessionContext(store, cast("Rest", self), self.monitor, self.background, RequestErrors(Notices()))
        self.pulse = ServerPulse(context, interval=10.0)

    def silence(self) -> float | None:
        return self.pulse.silence

    async def request(self, method: str, route: str, *, timeout: float) -> Any:
        assert (method, route) == ("GET", "/gateway")
        self.asked += 1
        if self.is_frozen:
            await asyncio.sleep(timeout)
            raise RestTimeout("no answer", sent=True, retryable=True)
        if self.error is not None:
            raise self.error
        await asyncio.sleep(0.01)

    def set_state(self, state: State) -> None:
        self.monitor.changed(Change(0.0, State.CONNECTING, state, 1, "test", None))

    async def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.pulse.check()
            await asyncio.sleep(1.0)


def play(scenario: Callable[[Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        server.set_state(State.CONNECTED)
        await scenario(server)
        await server.background.aclose()

    run_virtual(run)


def test_a_frozen_server_is_seen_within_the_interval_and_its_answer_too() -> None:
    async def scenario(server: Server) -> None:
        await server.wait(30)
        assert server.silence() is None
        server.is_frozen = True
        server.pulse.alive()
        await server.wait(11)
        assert 10 <= (server.silence() or 0) <= 11
        assert server.shown == [10.0]  # told at once
        await server.wait(5)
        assert (server.silence() or 0) >= 15
        server.is_frozen = False
        await server.wait(6)
        assert server.silence() is None
        assert server.shown == [10.0, None]

    play(scenario)


def test_a_busy_server_is_not_asked_and_a_quiet_one_seldom() -> None:
    async def scenario(server: Server) -> None:
        for _ in range(20):
            server.pulse.alive()
            await server.wait(3)
        assert server.asked == 0
        await server.wait(60)
        assert server.asked <= 12

    play(scenario)


def test_an_event_or_a_refusal_is_a_sign_of_life_and_an_own_wait_is_none_of_death() -> None:
    async def scenario(server: Server) -> None:
        errors: list[OnesocketError] = [
            ServerTrouble("busy", status=503),
            RequestLost("cut", retryable=True),
            RestTimeout("a rate limit", sent=False, retryable=True),
        ]
        for error in errors:
            server.error = error
            await server.wait(20)
            assert server.silence() is None
        server.error = ConnectionRefused("refused")
        await server.wait(10)
        assert server.silence() is not None
        server.pulse.alive()
        assert server.silence() is None

    play(scenario)


def test_without_a_connection_there_is_nothing_to_ask() -> None:
    async def scenario(server: Server) -> None:
        server.is_frozen = True
        await server.wait(11)
        server.set_state(State.BACKING_OFF)
        assert server.silence() is None
        asked = server.asked
        await server.wait(20)
        assert server.asked == asked
        server.set_state(State.CONNECTED)
        await server.wait(2)
        assert server.silence() is None

    play(scenario)
