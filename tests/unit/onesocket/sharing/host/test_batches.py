"""Forwarding by the owner: in batches, in order, and in as few turns of the loop as possible."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from onesocket import Client, Gap, OnesocketError, State, Status
from onesocket.client._status import Change
from onesocket.errors import ConnectAborted
from onesocket.protocols._raw import Raw
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream
from onesocket.transports._transport import TransportEvents
from onesocket.wire._handshake import Data, DialRequest, Handshake

URL = "ws://127.0.0.1:9/"


class StubConnection:
    """A connection that is open at once and gets its messages from the test, several at a time."""

    phase = "open"
    is_reading = True
    backlog = None
    activity = 0
    parts = 0

    def __init__(self, events: TransportEvents) -> None:
        self.events = events
        self.read: Callable[[list[Data]], object] | None = None
        asyncio.get_running_loop().call_soon(events.opened, Handshake())

    def set_receiver(
        self, received: Callable[[Data], object], many: Callable[[list[Data]], object] | None = None
    ) -> None:
        del received
        self.read = many

    def feed(self, *messages: Data) -> None:
        assert self.read is not None
        self.read(list(messages))

    def send(self, data: Data) -> bool:
        raise NotImplementedError

    def send_run(self, messages: list[Data]) -> bool:
        raise NotImplementedError

    def ping(self, payload: bytes) -> None:
        raise NotImplementedError

    def close(self, code: int, reason: str) -> None:
        del code, reason
        asyncio.get_running_loop().call_soon(self.events.ended, ConnectAborted("closed"))

    def abort(self, code: int | None = None) -> None:
        raise NotImplementedError

    def pause_reading(self) -> None:
        raise NotImplementedError

    def resume_reading(self) -> None:
        raise NotImplementedError


class StubTransport:
    name = "fed"

    def __init__(self) -> None:
        self.connections: list[StubConnection] = []

    def dial(self, request: DialRequest, events: TransportEvents, received: Callable[[Data], object]) -> StubConnection:
        del request, received
        self.connections.append(StubConnection(events))
        return self.connections[-1]


class RecordingSink:
    """Keeps what comes, in order."""

    def __init__(self) -> None:
        self.came: list[Any] = []

    def messages(self, batch: list[Any]) -> None:
        self.came.append(list(batch))

    def gap(self, gap: Gap) -> None:
        self.came.append(gap.epoch)

    def changed(self, change: Change, status: Status) -> None:
        if change.new is State.CONNECTED:
            self.came.append(f"epoch {status.epoch}")

    def failed(self, error: OnesocketError) -> None:
        raise error


class OwnerUpstream:
    """A process that owns the connection."""

    def __init__(self, directory: Path) -> None:
        self.transport = StubTransport()
        self.sink = RecordingSink()
        options: dict[str, Any] = {"transport": self.transport, "ping_interval": None}
        self.upstream = HostUpstream(
            ConnectionSpec(
                key=ConnectionKey.of(URL),
                options=options,
                protocol=Raw(),
                make_client=lambda: Client(URL, protocol=Raw(), **options),
                host_options=HostOptions(directory=str(directory / "run")),
            )
        )
        self.upstream.attach(self.sink)

    @property
    def connection(self) -> StubConnection:
        return self.transport.connections[-1]

    async def __aenter__(self) -> Self:
        await self.upstream.connect()
        assert self.sink.came == ["epoch 1"]
        self.sink.came.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.upstream.aclose()


async def test_the_first_batch_of_a_turn_goes_out_at_once_and_the_others_together(tmp_path: Path) -> None:
    async with OwnerUpstream(tmp_path) as owning:
        came = owning.sink.came
        owning.connection.feed("a", "b")
        assert came == [["a", "b"]]
        owning.connection.feed("c")
        owning.connection.feed("d", "e")
        assert came == [["a", "b"]]
        await asyncio.sleep(0)
        assert came == [["a", "b"], ["c", "d", "e"]]
        owning.connection.feed("f")  # the turn has written already
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert came[2:] == [["f"]]
        owning.connection.feed("g")
        assert came[3:] == [["g"]]


async def test_a_gap_stands_behind_what_came_before_it(tmp_path: Path) -> None:
    async with OwnerUpstream(tmp_path) as owning:
        owning.connection.feed("a")
        owning.connection.feed("b")
        await owning.upstream.reconnect()
        owning.connection.feed("c")
        await asyncio.sleep(0)
        came = owning.sink.came
        assert came[:2] == [["a"], ["b"]]
        assert [item for item in came if isinstance(item, list)] == [["a"], ["b"], ["c"]]
        assert came.index("epoch 2") < came.index(["c"])
        assert came.index(2) < came.index(["c"])


async def test_what_waits_at_the_end_comes_before_it(tmp_path: Path) -> None:
    async with OwnerUpstream(tmp_path) as owning:
        owning.connection.feed("a")
        owning.connection.feed("b")
    assert owning.sink.came == [["a"], ["b"]]


async def test_a_feed_that_is_let_go_on_goes_on_in_the_next_turn(tmp_path: Path) -> None:
    async with OwnerUpstream(tmp_path) as owning:
        came = owning.sink.came
        owning.upstream.hold()
        owning.connection.feed("a")
        await asyncio.sleep(0)
        owning.upstream.release()
        assert came == []
        owning.upstream.hold()  # somebody else
        await asyncio.sleep(0)
        assert came == []
        owning.upstream.release()
        owning.connection.feed("b")
        assert came == []
        await asyncio.sleep(0)
        assert came == [["a"], ["b"]]
