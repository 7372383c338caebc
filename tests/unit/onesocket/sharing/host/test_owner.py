"""The owner's own hands: what it passes on to followers, and what it sends for its own process."""

import asyncio
from typing import Any, cast

import pytest

from onesocket import Client, Gap, OnesocketError, Raw
from onesocket.client import GapReason
from onesocket.client._delivery import DELIVERED
from onesocket.sharing.host import HostOptions
from onesocket.sharing.host import _owner as owner
from onesocket.sharing.host._descriptor_reserve import DescriptorReserve
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._ipc_frames import encode_ipc_frame
from onesocket.sharing.host._owner import Owner
from onesocket.sharing.host._process_outbox import OutboxEntry
from onesocket.sharing.host._role import RoleEvents
from onesocket.sharing.host._serialization import serialize_gap


class LocalEvents:
    """This process."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.results: dict[int, OnesocketError | None] = {}

    def on_messages(self, batch: list[Any]) -> None:
        self.batches.append(batch)

    def on_result(self, number: int, error: OnesocketError | None) -> None:
        self.results[number] = error


class FollowerStub:
    """A follower."""

    def __init__(self) -> None:
        self.gaps: list[tuple[Gap, bytes]] = []

    def send_gap(self, gap: Gap, data: bytes) -> None:
        self.gaps.append((gap, data))


@pytest.fixture
async def local_events() -> LocalEvents:
    return LocalEvents()


@pytest.fixture
async def owner_role(local_events: LocalEvents) -> Owner:
    return Owner(
        cast("Any", None),
        DescriptorReserve(),
        client=Client("ws://127.0.0.1:9/", protocol=Raw()),
        protocol=Raw(),
        options=HostOptions(),
        reconnect=None,
        secret=b"",
        release="1",
        epoch=5,
        events=cast("RoleEvents", local_events),
    )


async def test_followers_are_told_how_many_were_too_long_for_them(
    owner_role: Owner, local_events: LocalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "try_encode_ipc_frame", lambda _: None)
    there = FollowerStub()
    owner_role._follower_connections = (cast("FollowerConnection", there),)
    owner_role._feed(["one", "two"])
    gap = Gap(GapReason.OVERFLOW, 5, 2)
    assert there.gaps == [(gap, encode_ipc_frame(serialize_gap(gap, 5)))]
    assert local_events.batches == [["one", "two"]]


async def test_a_message_that_fails_keeps_no_other_from_being_sent(
    owner_role: Owner, local_events: LocalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def send_nowait(data: Any) -> Any:
        if data == "bad":
            raise ZeroDivisionError
        sent.append(data)
        return DELIVERED

    monkeypatch.setattr(owner_role.client, "send_nowait", send_nowait)
    owner_role.post(
        [
            OutboxEntry(n, data, float("inf"), lambda _: None, resend=False)
            for n, data in enumerate(("one", "bad", "two"))
        ]
    )
    await asyncio.sleep(0)
    assert sent == ["one", "two"]
    assert {number: type(error) for number, error in local_events.results.items()} == {
        0: type(None),
        1: OnesocketError,
        2: type(None),
    }
