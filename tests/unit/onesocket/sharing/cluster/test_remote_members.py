"""The members that follow, as a leader serves them, without an engine."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from onesocket.client._subscription_counts import SubscriptionCounts
from onesocket.sharing._host_options import Own
from onesocket.sharing.cluster._coordinator import Position, Submission
from onesocket.sharing.cluster._following import nonce_for
from onesocket.sharing.cluster._remote_member import RemoteMember
from onesocket.sharing.cluster._remote_members import RemoteMembers
from onesocket.sharing.host._ipc_frames import Subscribe, ToOwner, encode_ipc_frame
from onesocket.sharing.host._join_credentials import JoinCredentials
from onesocket.testing import run_virtual

CREDENTIALS = JoinCredentials(b"secret", "1", {"option": "value"})
PATIENCE = 36.0


class LeaderStub:
    """Notes what a leader would publish."""

    def __init__(self) -> None:
        self.leadership = SimpleNamespace(epoch=1, answer=lambda *_: None, forget=lambda *_: None)
        self.told: list[tuple[str, str]] = []

    def send_gap(self, member: str) -> None:
        self.told.append((member, "gap"))

    def send_state(self, member: str) -> None:
        self.told.append((member, "state"))


class OperationsStub:
    """Performs nothing, and keeps account of subscriptions."""

    def __init__(self) -> None:
        self.subscriptions: SubscriptionCounts[str] = SubscriptionCounts()

    def perform_here(self, requester: RemoteMember, frame: Subscribe) -> None:
        self.subscriptions.add_keys(requester.name, frame.add)
        self.subscriptions.remove_keys(requester.name, frame.remove)

    def has_subscriptions_of(self, requester: RemoteMember) -> bool:
        return self.subscriptions.has_keys_of(requester.name)

    def forget_here(self, requester: RemoteMember) -> None:
        self.subscriptions.drop(requester.name)


class Members:
    """The members that follow a leader."""

    def __init__(self) -> None:
        self.leader = LeaderStub()
        self.made = RemoteMembers(cast("Any", self.leader), cast("Any", OperationsStub()), CREDENTIALS, PATIENCE)

    def submit(self, member: str, *frames: ToOwner) -> None:
        self.made.on_submission(Submission(Position(1, 1), member, 1, b"".join(map(encode_ipc_frame, frames))))

    def introduce(self, member: str, ownership_id: int, *keys: str) -> list[str]:
        """Introduce a member with its subscriptions; returns what the leader tells it then."""
        hello = CREDENTIALS.hello(nonce_for(member, 1), Own.ALLOW, ownership_id)
        self.submit(member, hello, Subscribe(list(keys), []))
        told, self.leader.told = self.leader.told, []
        assert {name for name, _ in told} <= {member}
        return [what for _, what in told]

    async def fall_silent(self) -> None:
        await asyncio.sleep(PATIENCE + 1)
        self.made.drop_silent()


KNOWN, SUBSCRIBED = 1, 2
"""Bits of `Hello.ownership_id`."""


def run(main: Callable[[Members], Awaitable[None]]) -> None:
    async def begin() -> None:
        await main(Members())

    run_virtual(begin)


def test_a_member_whose_subscriptions_ended_with_its_silence_gets_a_marker() -> None:
    async def main(members: Members) -> None:
        assert members.introduce("b", KNOWN, "key") == []
        assert members.introduce("c", 0, "key") == ["state"]
        await members.fall_silent()
        assert members.introduce("b", KNOWN | SUBSCRIBED, "key") == ["gap"]
        assert members.introduce("c", SUBSCRIBED, "key") == ["gap", "state"]
        assert members.introduce("c", KNOWN | SUBSCRIBED) == ["gap"]  # it has lost its answers
        assert members.introduce("c", KNOWN | SUBSCRIBED) == []

    run(main)


def test_a_member_that_had_no_subscription_when_it_was_dropped_gets_none() -> None:
    """Such a member may have subscribed since, before it heard of that."""

    async def main(members: Members) -> None:
        members.introduce("b", KNOWN, "one", "two")
        members.submit("b", Subscribe([], ["one"]))
        members.submit("b", Subscribe([], ["two"]))  # its last one
        members.introduce("c", KNOWN)
        await members.fall_silent()
        members.submit("b", Subscribe(["three"], []))
        assert members.introduce("b", KNOWN | SUBSCRIBED, "three") == []
        assert members.introduce("c", KNOWN | SUBSCRIBED, "key") == []

    run(main)


def test_what_is_known_of_members_that_are_gone_is_bounded_and_later_their_own_word_counts() -> None:
    """A leader may see thousands of hosts come and go."""

    async def main(members: Members) -> None:
        for name in ("b", "c"):
            members.introduce(name, KNOWN, "key")
        await members.fall_silent()
        for number in range(1000):
            members.introduce(f"host-{number}", KNOWN, "key")
        await members.fall_silent()
        assert len(members.made) == 0
        assert sum(len(each) for each in vars(members.made).values() if isinstance(each, dict | set)) == 1000
        assert members.introduce("b", KNOWN | SUBSCRIBED, "key") == ["gap"]
        assert members.introduce("c", KNOWN) == []

    run(main)
