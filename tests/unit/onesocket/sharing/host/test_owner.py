"""The owner's own hands: what it passes on to followers, and what it sends for its own process."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket import Client, Gap, OnesocketError, Raw
from onesocket.client import ConnectionStats, GapReason
from onesocket.client._delivery import DELIVERED
from onesocket.errors import EncodeError
from onesocket.sharing.host import HostOptions, _follower_set
from onesocket.sharing.host._descriptor_reserve import DescriptorReserve
from onesocket.sharing.host._follower_connection import FollowerConnection
from onesocket.sharing.host._ipc_frames import (
    FeedPosition,
    GapNotice,
    MessageBatch,
    Results,
    SendMessages,
    encode_ipc_frame,
)
from onesocket.sharing.host._join_credentials import JoinCredentials
from onesocket.sharing.host._owner import Owner


class LocalEvents:
    """This process."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.results: dict[int, OnesocketError | None] = {}

    def on_event(self, event: object) -> None:
        match event:
            case MessageBatch(messages):
                self.batches.append(messages)
            case GapNotice():
                self.batches.append(event)
            case Results(results, sent):
                self.results |= {number: error for number, _, error in results}
                self.results |= dict.fromkeys(number for first, last in sent for number in range(first, last + 1))
            case _:
                raise NotImplementedError


class FollowerStub:
    """A follower."""

    def feed(self) -> None:
        pass


@pytest.fixture
async def local_events() -> LocalEvents:
    return LocalEvents()


@pytest.fixture
async def owner_role(local_events: LocalEvents) -> Owner:
    return Owner(
        cast("Any", SimpleNamespace(is_surrendered=False)),
        DescriptorReserve(),
        client=Client("ws://127.0.0.1:9/", protocol=Raw()),
        protocol=Raw(),
        options=HostOptions(),
        credentials=JoinCredentials(b"", "1"),
        epoch=5,
        stats=ConnectionStats(attempts=5),
        emit=local_events.on_event,
    )


async def test_followers_are_told_how_many_were_too_long_for_them(
    owner_role: Owner, local_events: LocalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(frame: Any) -> bytes:
        if isinstance(frame, MessageBatch):
            raise EncodeError("too long")
        return encode_ipc_frame(frame)

    monkeypatch.setattr(_follower_set, "encode_ipc_frame", encode)
    owner_role._followers._attached = (cast("FollowerConnection", FollowerStub()),)
    reader = owner_role._followers._ring.reader_at_end()
    owner_role._forward(["one", "two"])
    gap = Gap(GapReason.OVERFLOW, 5, 2)
    assert reader.read() == encode_ipc_frame(GapNotice(gap, FeedPosition(0, 1)))
    assert reader.is_at_end
    assert local_events.batches == [["one", "two"]]


async def test_a_batch_for_which_there_is_no_memory_leaves_a_marker(
    owner_role: Owner, local_events: LocalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(owner_role._followers, "send_batch", fail)
    reader = owner_role._followers._ring.reader_at_end()
    with pytest.raises(MemoryError):
        owner_role._forwarder.on_batch(["one"])
    gap = Gap(GapReason.OVERFLOW, 5)
    assert reader.read() == encode_ipc_frame(GapNotice(gap, FeedPosition(0, 1)))
    assert local_events.batches == [GapNotice(gap)]


async def test_a_message_that_fails_keeps_no_other_from_being_sent(
    owner_role: Owner, local_events: LocalEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def post(data: Any) -> Any:
        if data == "bad":
            raise ZeroDivisionError
        sent.append(data)
        return DELIVERED

    monkeypatch.setattr(
        owner_role._operations._pending_operations,
        "_sender",
        SimpleNamespace(post=post, post_run=lambda _: None, has_room=True),
    )
    owner_role.submit(SendMessages(0, ["one", "bad", "two"]))
    assert sent == ["one", "two"]
    assert {number: type(error) for number, error in local_events.results.items()} == {
        0: type(None),
        1: OnesocketError,
        2: type(None),
    }
