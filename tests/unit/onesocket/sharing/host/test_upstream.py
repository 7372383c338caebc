"""One process's side of the shared connection, where it takes neither a server nor a second process."""

import asyncio
import gc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from onesocket import Client, Gap, OnesocketError, Raw, ReconnectPolicy, State, Status
from onesocket.client import OutboxLimits, Overflow
from onesocket.client._queue import Queue
from onesocket.client._status import Change
from onesocket.errors import (
    ClientClosed,
    DeliveryUnknown,
    EncodeError,
    ForkedCopy,
    InvalidOption,
    MessageExpired,
    OutboxFull,
)
from onesocket.protocols import Protocol
from onesocket.protocols._protocol import Action, Deliver
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._join import join
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream, _host_upstream
from onesocket.sharing.host._ipc_frames import Results
from onesocket.sharing.host._runtime_paths import RuntimePaths
from onesocket.wire._handshake import Data

READER: Queue[Any] = Queue(1, Overflow.FAIL)
URL = "ws://127.0.0.1:9/?token=secret"
ATTEMPTS = 8


class UpstreamSink:
    def __init__(self) -> None:
        self.states: list[State] = []

    def messages(self, batch: list[Any]) -> None:
        raise NotImplementedError

    def gap(self, gap: Gap) -> None:
        raise NotImplementedError

    def changed(self, change: Change, status: Status) -> None:
        assert change.new is status.state
        self.states.append(status.state)

    def failed(self, error: OnesocketError) -> None:
        raise error


class PairProtocol(Protocol):
    """A protocol whose messages aren't single frames."""

    name = "pairs"

    def received(self, data: Data, now: float) -> Iterable[Action]:
        return (Deliver((data, data)),)

    def encode(self, message: Any) -> Data:
        return str(message)


class UpstreamTopics(Raw):
    """With subscriptions."""

    def subscribe_frames(self, keys: frozenset[Any]) -> list[str]:
        return [f"subscribe {keys}"]

    def unsubscribe_frames(self, keys: frozenset[Any]) -> list[str]:
        return [f"unsubscribe {keys}"]


def make_upstream(tmp_path: Path, protocol: Protocol | None = None, host: Any = None, **options: Any) -> HostUpstream:
    protocol = Raw() if protocol is None else protocol
    upstream = HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(URL),
            options=options,
            protocol=protocol,
            make_client=lambda: Client(URL, protocol=protocol, **options),
            host_options=HostOptions(directory=str(tmp_path / "run")) if host is None else host,
        )
    )
    upstream.attach(UpstreamSink())
    return upstream


async def test_it_begins_disconnected_and_ends_closed(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path)
    sink = UpstreamSink()
    upstream.attach(sink)
    assert upstream.status.state is State.DISCONNECTED
    assert "secret" not in repr(upstream) + repr(upstream.status)
    await asyncio.gather(upstream.aclose(), upstream.aclose())
    assert sink.states == [State.CLOSED]
    for call in (upstream.connect(), upstream.send("x"), upstream.disconnect()):
        with pytest.raises(ClientClosed):
            await call


async def test_messages_wait_for_the_first_connect_within_their_limits(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path, outbox=OutboxLimits(1, 0.01))
    waiting = asyncio.get_running_loop().create_task(upstream.send("waits"))
    await asyncio.sleep(0)
    with pytest.raises(OutboxFull):
        await upstream.send("one too many")
    with pytest.raises(MessageExpired):
        await waiting
    await upstream.aclose()


async def test_what_still_waits_at_the_end_is_told(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path)
    waiting = asyncio.get_running_loop().create_task(upstream.send("waits"))
    await asyncio.sleep(0)
    await upstream.aclose()
    with pytest.raises(ClientClosed):
        await waiting


async def test_a_cancelled_send_makes_room(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path, outbox=OutboxLimits(1, 60))
    for _ in range(3):
        waiting = asyncio.get_running_loop().create_task(upstream.send("waits"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await upstream.aclose()


async def test_a_send_that_is_cancelled_on_its_way_may_have_arrived(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path)
    for settled in (False, True):
        sending = asyncio.get_running_loop().create_task(upstream.send("on its way"))
        await asyncio.sleep(0)
        (entry,) = upstream._operations.outbox.hand_over()
        if settled:
            upstream._on_event(Results([(entry.number, None, None)]))
        sending.cancel()
        if settled:
            await sending  # it was sent in that very moment
        else:
            with pytest.raises(DeliveryUnknown):
                await sending
    await upstream.aclose()


@pytest.mark.parametrize("error", [None, OutboxFull("full")])
async def test_a_result_that_comes_in_the_turn_of_the_cancellation_is_the_fate(
    tmp_path: Path, error: OutboxFull | None
) -> None:
    upstream = make_upstream(tmp_path)
    sending = asyncio.get_running_loop().create_task(upstream.send("on its way"))
    await asyncio.sleep(0)
    (entry,) = upstream._operations.outbox.hand_over()
    sending.cancel()  # its future is cancelled with that, before the result comes
    upstream._on_event(Results([(entry.number, None, error)]))
    if error is None:
        await sending
    else:
        with pytest.raises(OutboxFull):
            await sending
    await upstream.aclose()


async def test_why_nobody_can_listen_is_said_and_no_socket_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RuntimePaths, "socket_address", lambda *_: str(tmp_path / "nowhere" / "x"))
    told: list[OnesocketError] = []
    monkeypatch.setattr(UpstreamSink, "failed", lambda _, error: told.append(error))
    upstream = make_upstream(tmp_path)
    with pytest.raises(OnesocketError, match="can't be shared: No such file"):
        await upstream.connect()
    assert len(told) == 1
    await upstream.aclose()
    del upstream
    gc.collect()  # an open socket would be a ResourceWarning


async def test_a_forked_child_has_to_join_anew(tmp_path: Path) -> None:
    upstream = make_upstream(tmp_path)
    upstream.forked()
    for call in (upstream.connect(), upstream.send("x"), upstream.reconnect()):
        with pytest.raises(ForkedCopy):
            await call
    await upstream.aclose()  # nothing to be closed
    assert upstream.status.state is State.DISCONNECTED


async def test_bad_messages_and_keys_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="describes its subscriptions"):
        make_upstream(tmp_path).add_keys(READER, ["a"])
    upstream = make_upstream(tmp_path, UpstreamTopics())
    for wrong in (7, "\ud800"):
        with pytest.raises(EncodeError):
            await upstream.send(wrong)
    for key in (("a", object()), 2**64, -(2**63) - 1, ("a", 2**70), "\ud800"):
        with pytest.raises(InvalidOption):
            upstream.add_keys(READER, [key])
    assert not upstream._operations.subscriptions.wanted
    upstream.add_keys(READER, ["a", ("b", 1)])
    upstream.remove_keys(READER, ["a"])
    await upstream.aclose()


def test_what_cannot_be_shared_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"pack\(message\)"):
        make_upstream(tmp_path, PairProtocol())
    with pytest.raises(InvalidOption, match=r"host_options must be HostOptions\(\.\.\.\), not dict"):
        join(URL, scope="host", host_options={"buffer": 1})  # type: ignore[call-overload]


async def test_a_reconnect_that_is_to_be_retried_has_no_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_host_upstream, "_OWNER_LOOKUP_SLACK", 0.0)
    policy = ReconnectPolicy(first=True, initial=0.02, cap=0.02)
    upstream = make_upstream(tmp_path, reconnect=policy, open_timeout=0.01, close_timeout=0.01)
    reconnecting = asyncio.ensure_future(upstream.reconnect())
    tried = asyncio.Event()

    def watch(change: Change) -> None:
        if change.epoch == ATTEMPTS:
            tried.set()

    upstream._local_status._on_change = watch
    await asyncio.wait((reconnecting, asyncio.ensure_future(tried.wait())), return_when=asyncio.FIRST_COMPLETED)
    assert not reconnecting.done()
    reconnecting.cancel()
    await asyncio.wait((reconnecting,))
    await upstream.aclose()
