"""The owner's own hands: what it passes on to followers, and what it sends for its own process."""

import asyncio
from typing import Any, cast

import pytest

from onesocket import Client, Gap, GapReason, OnesocketError, Raw
from onesocket.client.delivery import DELIVERED
from onesocket.sharing.host import HostOptions, owner
from onesocket.sharing.host.convey import missing_of
from onesocket.sharing.host.frames import pack
from onesocket.sharing.host.ledger import Entry
from onesocket.sharing.host.owner import Owner
from onesocket.sharing.host.peer import Peer
from onesocket.sharing.host.reserve import Reserve
from onesocket.sharing.host.role import RoleEvents


class Here:
    """This process."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.results: dict[int, OnesocketError | None] = {}

    def came(self, batch: list[Any]) -> None:
        self.batches.append(batch)

    def settled(self, number: int, error: OnesocketError | None) -> None:
        self.results[number] = error


class There:
    """A follower."""

    def __init__(self) -> None:
        self.gaps: list[tuple[Gap, bytes]] = []

    def miss(self, gap: Gap, data: bytes) -> None:
        self.gaps.append((gap, data))


@pytest.fixture
async def here() -> Here:
    return Here()


@pytest.fixture
async def owning(here: Here) -> Owner:
    return Owner(
        cast("Any", None),
        Reserve(),
        client=Client("ws://127.0.0.1:9/", protocol=Raw()),
        protocol=Raw(),
        options=HostOptions(),
        reconnect=None,
        secret=b"",
        release="1",
        epoch=5,
        events=cast("RoleEvents", here),
    )


async def test_followers_are_told_how_many_were_too_long_for_them(
    owning: Owner, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "packed", lambda _: None)
    there = There()
    owning._peers = (cast("Peer", there),)
    owning._feed(["one", "two"])
    gap = Gap(GapReason.OVERFLOW, 5, 2)
    assert there.gaps == [(gap, pack(missing_of(gap, 5)))]
    assert here.batches == [["one", "two"]]


async def test_a_message_that_fails_keeps_no_other_from_being_sent(
    owning: Owner, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def send_nowait(data: Any) -> Any:
        if data == "bad":
            raise ZeroDivisionError
        sent.append(data)
        return DELIVERED

    monkeypatch.setattr(owning.client, "send_nowait", send_nowait)
    owning.post([Entry(n, data, float("inf"), None, lambda _: None) for n, data in enumerate(("one", "bad", "two"))])
    await asyncio.sleep(0)
    assert sent == ["one", "two"]
    assert {number: type(error) for number, error in here.results.items()} == {
        0: type(None),
        1: OnesocketError,
        2: type(None),
    }
