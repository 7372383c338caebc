"""Publishing to sessions, without a socket."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from onesocket_discord._serving import EncodedDispatch
from onesocket_discord.server._ports import Account, Event
from onesocket_discord.server.gateway import GatewayOptions, GatewayServer
from onesocket_discord.server.gateway._session import GatewaySession

MESSAGES, OTHER = 1 << 9, 1 << 10


class GatewayFixture:
    """A gateway with one session for each user, and what was written to them, in order."""

    def __init__(self, count: int, **options: Any) -> None:
        self.gateway = GatewayServer(GatewayOptions(**options))
        self.written: list[tuple[int, dict[str, Any]]] = []
        self.sessions = {user_id: self.add(user_id) for user_id in range(1, count + 1)}

    def add(self, user_id: int, *, bot: bool = False, intents: int = MESSAGES) -> GatewaySession:
        session = GatewaySession(
            Account(user_id, f"user {user_id}", bot=bot), b"", intents, (0, 1), self.gateway.options
        )
        session.begin()
        session.write = self.writer(user_id)
        assert self.gateway.state.sessions.add(session)
        return session

    def writer(self, user_id: int) -> Callable[[bytes], object]:
        return lambda frame: self.written.append((user_id, json.loads(frame)))

    def publish(self, *recipients: int, content: str = "hi") -> None:
        data = {"guild_id": "1", "author": {"id": "99"}, "content": content}
        event = Event("MESSAGE_CREATE", data, frozenset(recipients), intents=MESSAGES, content_of=99)
        self.gateway.publish(event)

    def seen(self) -> dict[int, list[int]]:
        """By user: the sequence numbers."""
        return {user: [payload["s"] for who, payload in self.written if who == user] for user, _ in self.written}


async def test_each_session_counts_for_itself() -> None:
    gateway = GatewayFixture(3)
    gateway.sessions[2].seq = 41
    gateway.publish(1, 2)
    gateway.publish(1, 2, 3, 4)
    assert gateway.seen() == {1: [1, 2], 2: [42, 43], 3: [1]}
    assert [len(session.replay) for session in gateway.sessions.values()] == [2, 2, 1]


@pytest.mark.parametrize("content", ["100 %", "%d %b %s %%", "%", "%(x)d"])
async def test_a_percent_sign_in_a_message_is_only_that(content: str) -> None:
    assert json.loads(EncodedDispatch("X%d", {"%": content}).payload(7)) == {
        "t": "X%d",
        "s": 7,
        "op": 0,
        "d": {"%": content},
    }
    gateway = GatewayFixture(2)
    gateway.sessions[2].seq = 10
    gateway.publish(1, 2, content=content)
    assert [payload["d"]["content"] for _, payload in gateway.written] == [content, content]


async def test_sessions_that_are_equally_far_still_get_the_form_that_is_theirs() -> None:
    gateway = GatewayFixture(2)
    gateway.sessions[3] = gateway.add(3, bot=True)  # may not see the content
    gateway.sessions[4] = gateway.add(4, intents=OTHER)  # did not ask for messages
    gateway.publish(1, 2, 3, 4)
    assert {who: payload["d"]["content"] for who, payload in gateway.written} == {1: "hi", 2: "hi", 3: ""}
    assert gateway.sessions[4].seq == 0


async def test_a_session_whose_connection_ends_meanwhile_keeps_the_event_for_its_resume() -> None:
    gateway = GatewayFixture(2)

    def end_both(_frame: bytes) -> None:
        for session in gateway.sessions.values():
            session.write = None

    for session in gateway.sessions.values():
        session.write = end_both
    gateway.publish(1, 2)
    assert not gateway.written
    assert [list(session.missed(0)) != [] for session in gateway.sessions.values()] == [True, True]


async def test_the_bytes_that_are_kept_are_bounded() -> None:
    gateway = GatewayFixture(1, replay_bytes=2000)
    for _ in range(100):
        gateway.publish(1, content="x" * 100)
        await asyncio.sleep(0)
        assert sum(body.size for body in gateway.sessions[1].replay) <= 2000
    assert gateway.seen()[1] == list(range(1, 101))


async def test_a_guild_that_is_joined_has_for_each_session_what_it_asked_for() -> None:
    gateway = GatewayFixture(0)
    people = [{"user": {"id": str(number)}} for number in range(1, 61)]
    presences = [{"user": {"id": str(number)}, "status": "online"} for number in (1, 2)]
    guild = {"id": "5", "member_count": 60, "large": False, "members": people, "presences": presences}
    for intents, threshold in ((1, 50), (1 | 1 << 8, 50), (1 | 1 << 8, 60), (0, 250)):
        session = gateway.add(60, intents=intents)
        session.large_threshold = threshold
    gateway.gateway.publish(Event("GUILD_CREATE", guild, frozenset({60}), intents=1))
    told = [payload["d"] for _, payload in gateway.written]
    assert [(one["large"], len(one["members"]), len(one["presences"])) for one in told] == [
        (True, 3, 0),  # those who are there, and oneself
        (True, 3, 2),
        (False, 60, 2),
    ]


async def test_an_event_for_nobody_is_not_encoded(caplog: pytest.LogCaptureFixture) -> None:
    gateway = GatewayFixture(1)
    gateway.gateway.publish(Event("X", {"x": object()}, frozenset({2})))  # it couldn't be
    assert not gateway.written
    assert not caplog.records
    assert gateway.gateway.state.stats_counter.snapshot().events == 1
