"""A process that follows: its socket, and what it hands to the owner."""

import asyncio
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from onesocket.client import ConnectionStats
from onesocket.errors import ClientClosed
from onesocket.sharing.host import HostOptions, IpcError, OutOfResources, Own, OwnerSilent, listing
from onesocket.sharing.host import _ipc_frames as frames
from onesocket.sharing.host._follower import FeedPlace, Follower, OwnerDisconnected
from onesocket.sharing.host._ipc_frames import FrameSplitter, Results, SendMessages, Welcome, decode_follower_frame
from onesocket.sharing.host._join_credentials import JoinCredentials
from onesocket.sharing.host._local_status import LocalStatus
from onesocket.sharing.host._membership import Membership
from onesocket.sharing.host._membership_events import JoinFailed, RoleLost, RoleTaken
from onesocket.sharing.host._owner_lock import OwnerLock
from onesocket.sharing.host._runtime_paths import RuntimePaths

CREDENTIALS = JoinCredentials(b"secret", "1")


def new_follower(events: list[Any] | None = None) -> Follower:
    return Follower(CREDENTIALS, ([] if events is None else events).append, FeedPlace())


async def test_its_socket_is_known_from_its_first_moment_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = new_follower()
    seen: list[list[int]] = []

    def nobody_listens(sock: Any, _place: object) -> bool:
        seen.append([sock.fileno(), *follower.descriptors()])
        raise ConnectionRefusedError

    monkeypatch.setattr("onesocket.sharing.host._follower._try_connect", nobody_listens)
    with pytest.raises(ConnectionRefusedError):
        await follower.attach(RuntimePaths.of("key", str(tmp_path)), 5.0)
    ((number, *known),) = seen
    assert known == [number]
    assert list(follower.descriptors()) == []


async def test_a_full_queue_is_an_owner_that_does_not_answer_yet(tmp_path: Path) -> None:
    place = RuntimePaths.of("key", str(tmp_path / "run"))
    waiting: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(place.socket))
        owner.listen(0)
        while not waiting or not waiting[-1].connect_ex(str(place.socket)):
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
        with pytest.raises(OwnerSilent):
            await new_follower().attach(place, 0.1)
        (listed,) = await asyncio.to_thread(listing, str(place.directory), timeout=0.1)
        assert not listed.answers
        follower = new_follower()
        attaching = asyncio.create_task(follower.attach(place, 10.0))
        await asyncio.sleep(0)
        for _ in waiting[:-1]:
            owner.accept()[0].close()  # the owner goes on
        owner.settimeout(5)
        accepted = (await asyncio.to_thread(owner.accept))[0]
        accepted.sendall(frames.encode_ipc_frame(frames.Rejection(OutOfResources("none left"))))
        with pytest.raises(OutOfResources, match="none left"):
            await attaching
        accepted.close()
        for one in waiting:
            one.close()


class UnencodableStr(str):
    """A string with a lone surrogate, which can't be encoded."""

    __slots__ = ()

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        del encoding, errors
        return b""


async def test_one_message_that_cannot_be_told_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Any] = []
    follower = new_follower(events)
    written: list[bytes] = []
    monkeypatch.setattr(follower, "write_now", written.append)
    follower.submit(SendMessages(1, ["one", UnencodableStr("\ud800"), "three"]))
    await asyncio.sleep(0)
    frames = [decode_follower_frame(body) for body in FrameSplitter().feed(b"".join(written))]
    assert frames == [SendMessages(1, ["one"]), SendMessages(3, ["three"])]
    ((number, outcome, error),) = [result for event in events for result in cast("Results", event).results]
    assert (number, outcome, type(error)) == (2, None, IpcError)


class AttachedFollower(Follower):
    """Gets in at once."""

    async def attach(self, paths: RuntimePaths, timeout: float) -> Welcome:
        del paths, timeout
        return Welcome(1, 7, 1.0, LocalStatus("ws://x/", lambda: False).present, ConnectionStats())


async def test_what_keeps_it_from_its_role_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OwnerLock, "acquire", lambda *_, **__: None)
    place = RuntimePaths.of("key", str(tmp_path / "run"))
    failures: list[Exception] = []

    def emit(event: object) -> None:
        """Fail to send the subscriptions of this process."""
        if isinstance(event, RoleTaken):
            raise IpcError("too much")
        if isinstance(event, JoinFailed):
            failures.append(event.error)

    member = Membership(
        place,
        HostOptions(directory=str(tmp_path / "run")),
        make_owner=cast("Any", None),
        make_follower=lambda _: AttachedFollower(CREDENTIALS, emit, FeedPlace()),
        retry_delay=lambda *_: None,
        emit=emit,
    )

    async def nothing() -> None:
        pass

    async with asyncio.timeout(5):
        with pytest.raises(IpcError, match="too much"):
            await member.acquire_role()
    assert len(failures) == 1
    await member.aclose(nothing, 1.0)


class LostFollower(AttachedFollower):
    """Gets in, and its owner ends in the same turn of the loop, as uvloop may read both."""

    async def attach(self, paths: RuntimePaths, timeout: float) -> Welcome:
        self.is_over = True
        return await super().attach(paths, timeout)


async def test_an_owner_that_ends_with_its_welcome_leaves_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OwnerLock, "acquire", lambda *_, **__: None)
    events: asyncio.Queue[object] = asyncio.Queue()
    member = Membership(
        RuntimePaths.of("key", str(tmp_path / "run")),
        HostOptions(directory=str(tmp_path / "run")),
        make_owner=cast("Any", None),
        make_follower=lambda _: LostFollower(CREDENTIALS, print, FeedPlace()),
        retry_delay=lambda *_: None,
        emit=events.put_nowait,
    )

    async def nothing() -> None:
        pass

    joining = asyncio.create_task(member.acquire_role())
    async with asyncio.timeout(5):
        assert await events.get() == RoleLost(in_order=False)
    await member.aclose(nothing, 1.0)
    with pytest.raises(ClientClosed):
        await joining


async def test_an_answer_that_came_while_this_process_stood_still_is_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RuntimePaths.of("key", str(tmp_path / "run"))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as owner:
        owner.bind(str(place.socket))
        owner.listen(1)
        owner.setblocking(False)
        follower = new_follower()
        attaching = asyncio.create_task(follower.attach(place, 60.0))
        accepted = (await loop.sock_accept(owner))[0]
        accepted.sendall(frames.encode_ipc_frame(CREDENTIALS.challenge(b"")))
        await loop.sock_recv(accepted, 2**16)
        welcome = Welcome(1, 7, 1.0, LocalStatus("ws://x/", lambda: False).present, ConnectionStats())
        accepted.sendall(frames.encode_ipc_frame(welcome))
        later = loop.time() + 61.0
        monkeypatch.setattr(loop, "time", lambda: later)
        assert await attaching == welcome
        monkeypatch.undo()
        follower.leave()
        accepted.close()


@pytest.mark.parametrize(
    ("own", "told", "leaves_lock"),
    [
        (Own.ALLOW, [frames.OwnerHeartbeat(ConnectionStats(), has_preferrer=True)], True),
        (Own.PREFER, [frames.OwnerHeartbeat(ConnectionStats(), has_preferrer=True)], False),
        (
            Own.ALLOW,
            [
                frames.OwnerHeartbeat(ConnectionStats(), has_preferrer=True),
                frames.OwnerHeartbeat(ConnectionStats(), has_preferrer=False),
            ],
            False,
        ),
        (Own.ALLOW, [frames.OwnerHeartbeat(ConnectionStats(), has_preferrer=True), frames.Shutdown()], False),
        (Own.PREFER, [frames.Shutdown(leaves_lock=True)], True),
    ],
)
async def test_it_leaves_the_lock_to_the_one_that_is_to_have_it(
    own: Own, told: list[frames.ToFollower], leaves_lock: bool
) -> None:
    ends: list[OwnerDisconnected] = []

    def emit(event: object) -> None:
        """Keep the end."""
        if isinstance(event, OwnerDisconnected):
            ends.append(event)

    follower = Follower(CREDENTIALS, emit, FeedPlace(), own)
    follower._is_attached = True
    for frame in told:
        follower.on_frame(frames.encode_ipc_frame(frame)[4:])
    follower.connection_lost(None)
    (end,) = ends
    assert end.leaves_lock is leaves_lock
    assert end.in_order is isinstance(told[-1], frames.Shutdown)
