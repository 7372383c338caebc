"""A durable outbox, as the server and the next run of the program see it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from onesocket import Acknowledgement, Client, DurableOutbox, Json, Pace, Raw, ReconnectPolicy, State, blocking, join
from onesocket.client import OutboxLimits
from onesocket.client._message_store import Delete, Insert, Mark, MessageStore, Operation
from onesocket.errors import (
    ClientClosed,
    DeliveryUnknown,
    DuplicateMessage,
    EncodeError,
    InvalidOption,
    ManuallyDisconnected,
    MessageExpired,
    MessageKept,
    MessageNotStored,
    OptionConflict,
    OutboxFull,
    OutboxInUse,
    OutboxUnusable,
)
from onesocket.testing import FaultyConnection, FaultyServer
from tests.support.programs import output_of
from tests.support.waiting import until

FAST = ReconnectPolicy(initial=0.01, cap=0.02)
ACKNOWLEDGES = Acknowledgement(
    id_of=lambda message: message.get("id"), acknowledged_by=lambda message: message.get("ack")
)


class ServerLedger:
    """The server's side: ids in the order of their arrival, each of which is acknowledged unless told otherwise."""

    def __init__(self) -> None:
        self.ids: list[Any] = []
        self.acknowledges = True

    def answer(self, _: FaultyConnection, message: str | bytes) -> str | None:
        self.ids.append(json.loads(message)["id"])
        return json.dumps({"ack": self.ids[-1]}) if self.acknowledges else None


@pytest.fixture
def ledger() -> ServerLedger:
    return ServerLedger()


@pytest.fixture
async def server(ledger: ServerLedger) -> AsyncIterator[FaultyServer]:
    async with FaultyServer(on_message=ledger.answer) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def file_errors(monkeypatch: pytest.MonkeyPatch) -> set[type[Operation]]:
    """Kinds of operations with which every write fails, as on a full disk."""
    kinds: set[type[Operation]] = set()
    apply = MessageStore.apply

    def apply_or_fail(store: MessageStore, operations: list[Operation]) -> None:
        if any(isinstance(operation, tuple(kinds)) for operation in operations):
            raise MessageNotStored(f"the outbox {store.path} can't be written: the disk is full: make room")
        apply(store, operations)

    monkeypatch.setattr(MessageStore, "apply", apply_or_fail)
    return kinds


def make(server: FaultyServer, path: Path, *, acknowledges: bool = True, age: float = 1_000, **options: Any) -> Client:
    protocol = Json(acknowledges=ACKNOWLEDGES if acknowledges else None)
    return Client(server.url, protocol=protocol, outbox=DurableOutbox(path, age=age), reconnect=FAST, **options)


def message(number: int | str) -> dict[str, Any]:
    return {"id": number}


def left_in(path: Path) -> list[tuple[Any, bool]]:
    """The ids in the file, and whether they may have arrived."""
    store = MessageStore(path)
    store.close()
    return [(json.loads(row.data)["id"], row.may_have_arrived) for row in store.rows]


async def test_send_returns_once_the_message_is_on_disk_and_the_next_run_sends_it(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    client = make(server, path)
    for number in range(5):
        await client.send(message(number))
    assert client.status.outbox == 5
    await client.aclose()
    assert left_in(path) == [(number, False) for number in range(5)]

    outbox = DurableOutbox(path)
    async with Client(server.url, protocol=Json(acknowledges=ACKNOWLEDGES), outbox=outbox) as client:
        await client.send(message(5))
        await until(lambda: client.status.outbox == 0)
        assert [(each.message_id, each.may_have_arrived) for each in outbox.restored] == [
            (number, False) for number in range(5)
        ]
        assert json.loads(outbox.restored[0].data) == message(0)
        assert abs(outbox.restored[0].stored_at - time.time()) < 60
    assert ledger.ids == list(range(6))
    assert left_in(path) == []


async def test_only_an_acknowledgement_settles_a_message_and_a_lost_one_is_sent_again_in_order(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    ledger.acknowledges = False
    async with make(server, path) as client:
        deliveries = [client.send_nowait(message(number)) for number in range(3)]
        await until(lambda: len(ledger.ids) == 3)
        assert [repr(each) for each in deliveries] == ["<Delivery sent>"] * 3
        await server.send('{"ack": 1}')
        await deliveries[1]
        assert not deliveries[0].done
        ledger.acknowledges = True
        server.kill_connections()
        await client.wait_for(State.BACKING_OFF, timeout=10)
        await client.send(message(3))
        await asyncio.gather(*deliveries)
        await until(lambda: client.status.outbox == 0)
    assert ledger.ids == [0, 1, 2, 0, 2, 3]
    assert left_in(path) == []


async def test_a_restart_says_which_messages_may_have_arrived(
    server: FaultyServer, ledger: ServerLedger, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.acknowledges = False
    client = make(server, path)
    await client.connect()
    await client.send(message("sent"))
    await until(lambda: ledger.ids == ["sent"])
    await server.stop_listening()
    server.kill_connections()
    await client.wait_for(State.BACKING_OFF, timeout=10)
    await client.send(message("stored"))
    await client.aclose()
    assert left_in(path) == [("sent", True), ("stored", False)]
    await server.start()
    ledger.acknowledges = True
    with caplog.at_level(logging.INFO, "onesocket"):
        client = make(server, path)
        await client.connect()
        await until(lambda: client.status.outbox == 0)
        await client.aclose()
    assert ledger.ids == ["sent", "sent", "stored"]
    assert f"the outbox {path} has 2 messages of an earlier run, which are sent now; 1 of them may" in caplog.text


async def test_without_acknowledgements_a_message_is_settled_once_the_kernel_has_it(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    client = make(server, path, acknowledges=False)
    waiting = client.send_nowait(message(0))
    await client.send(message(1))
    assert not waiting.done
    await client.connect()
    await waiting
    await client.send_nowait(message(2))
    assert client.status.outbox == 0
    await client.aclose()
    await server.wait_until(lambda _: len(ledger.ids) == 3)
    assert ledger.ids == [0, 1, 2]
    assert left_in(path) == []


async def test_what_the_kernel_did_not_take_is_sent_again_without_acknowledgements(path: Path) -> None:
    """The server reads nothing from the first connection, and resets it."""
    connections: list[ServerConnection] = []
    received: list[str] = []

    async def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        if len(connections) == 1:
            connection.transport.pause_reading()
            await connection.wait_closed()
        async for text in connection:
            received.append(str(text)[:1])  # noqa: PERF401 - as they come

    async with serve(handle, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        outbox = DurableOutbox(path, bytes=40_000_000)
        client = Client(f"ws://127.0.0.1:{port}/", outbox=outbox, reconnect=FAST)
        await client.connect()
        await until(lambda: bool(connections))
        deliveries = [client.send_nowait(f"{number} {'x' * 8_000_000}") for number in range(3)]
        await until(lambda: repr(deliveries[0]) == "<Delivery sent>", within=20)
        connections[0].transport.abort()
        await asyncio.wait_for(asyncio.gather(*deliveries), 20)
        await client.aclose()
    assert received == ["0", "1", "2"]


async def test_messages_without_an_id_are_not_kept(server: FaultyServer, path: Path) -> None:
    client = make(server, path)
    ordinary = client.send_nowait({"op": "subscribe", "id": None})
    await client.aclose()
    with pytest.raises(ClientClosed):
        await ordinary
    assert list(path.parent.iterdir()) == []


async def test_stored_messages_come_last_on_a_new_connection(path: Path) -> None:
    async with FaultyServer(echo=False) as server:
        protocol = Raw(on_ready=lambda: ["on_ready"])
        client = Client(server.url, protocol=protocol, outbox=DurableOutbox(path))
        await client.send("stored")
        await client.connect()
        await server.wait_until(lambda _: len(server.received) == 2)
        await client.aclose()
        assert server.received == ["on_ready", "stored"]


async def test_stored_messages_keep_the_pace_of_messages_and_not_that_of_control_messages(path: Path) -> None:
    async with FaultyServer(echo=False) as server:
        protocol = Raw(pace=Pace(3, per=1_000), control_pace=Pace(1, per=1_000))
        client = Client(server.url, protocol=protocol, outbox=DurableOutbox(path))
        for number in range(4):
            await client.send(str(number))
        await client.connect()
        await server.wait_until(lambda _: len(server.received) == 3)
        await client.aclose()
        assert server.received == ["0", "1", "2"]
    store = MessageStore(path)
    store.close()
    assert [row.data for row in store.rows] == ["3"]


async def test_disconnect_keeps_the_messages_and_reconnect_sends_them(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    ledger.acknowledges = False
    async with make(server, path) as client:
        delivery = client.send_nowait(message(1))
        await until(lambda: ledger.ids == [1])
        await client.disconnect()
        with pytest.raises(MessageKept, match=str(path)):
            await delivery
        with pytest.raises(ManuallyDisconnected):
            await client.send(message(2))
        ledger.acknowledges = True
        await client.reconnect()
        await until(lambda: client.status.outbox == 0)
    assert ledger.ids == [1, 1]


async def test_the_first_reconnect_after_a_disconnect_sends_what_an_earlier_run_left(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    client = make(server, path)
    await client.send(message(1))
    await client.aclose()
    client = make(server, path)
    await client.disconnect()
    await client.reconnect()
    await until(lambda: ledger.ids == [1])
    await client.aclose()
    await client.aclose()


async def test_an_acknowledgement_during_the_close_still_counts(path: Path) -> None:
    async with FaultyServer(echo=False) as server:
        client = make(server, path)
        await client.connect()
        delivery = client.send_nowait(message(1))
        await server.wait_until(lambda _: len(server.received) == 1)
        closing = asyncio.ensure_future(client.aclose())
        await server.send('{"ack": 1}')
        await closing
        await delivery
    assert left_in(path) == []


async def test_a_message_that_is_being_stored_when_the_client_closes_is_accepted_and_kept(
    server: FaultyServer, path: Path
) -> None:
    client = make(server, path)
    sending = asyncio.ensure_future(client.send(message(1)))
    await asyncio.sleep(0)
    await client.aclose()
    await sending
    assert left_in(path) == [(1, False)]
    with pytest.raises(ClientClosed):
        await client.send(message(2))


async def test_every_call_of_aclose_waits_until_the_file_is_given_back(
    server: FaultyServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, disk = MessageStore.close, threading.Event()

    def close_later(store: MessageStore) -> None:
        assert disk.wait(20)
        close(store)

    client = make(server, path)
    await client.send(message(1))
    monkeypatch.setattr(MessageStore, "close", close_later)
    first, second, third = (asyncio.ensure_future(client.aclose()) for _ in range(3))
    for _ in range(10):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert {second.done(), third.done()} == {False}
    disk.set()
    await second
    async with make(server, path) as client:
        await until(lambda: client.status.outbox == 0)
    await third


async def test_a_cancelled_send_is_not_sent_unless_it_was_accepted(
    server: FaultyServer, ledger: ServerLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply, disk = MessageStore.apply, threading.Event()

    def apply_later(store: MessageStore, operations: list[Operation]) -> None:
        assert disk.wait(20)
        apply(store, operations)

    monkeypatch.setattr(MessageStore, "apply", apply_later)
    client = make(server, path)
    sending = asyncio.ensure_future(client.send(message(1)))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    disk.set()
    await client.send(message(2))
    await client.connect()
    await until(lambda: client.status.outbox == 0)
    await client.aclose()
    assert ledger.ids == [2]
    assert left_in(path) == []


async def test_ages_are_counted_over_restarts(
    server: FaultyServer, ledger: ServerLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first run was two hours ago, by the system's clock."""
    now = time.time
    with monkeypatch.context() as past:
        past.setattr(time, "time", lambda: now() - 7_200)
        ledger.acknowledges = False
        client = make(server, path, age=3_600)
        await client.connect()
        await client.send(message("sent"))
        await until(lambda: ledger.ids == ["sent"])
        await server.stop_listening()
        server.kill_connections()
        await client.wait_for(State.BACKING_OFF, timeout=10)
        await client.send(message("stored"))
        await client.aclose()
        await server.start()
    reported: list[BaseException] = []
    client = make(server, path, age=3_600, on_error=reported.append)
    await client.connect()
    await client.send(message("new"))
    await until(lambda: ledger.ids == ["sent", "new"])
    assert {type(error) for error in reported} == {MessageExpired, DeliveryUnknown}
    assert client.status.outbox == 1
    await client.aclose()
    assert left_in(path) == [("new", True)]


async def test_a_clock_that_was_set_back_makes_no_message_older_than_its_age(
    server: FaultyServer, ledger: ServerLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    with monkeypatch.context() as future:
        future.setattr(time, "time", lambda: now() + 1e9)
        client = make(server, path, age=3_600)
        await client.send(message(1))
        await client.aclose()
    ledger.acknowledges = False
    client = make(server, path, age=3_600)
    await client.connect()
    await until(lambda: ledger.ids == [1])
    assert client._durable is not None
    (entry,) = client._durable._queue.entries
    assert 0 < entry.expires - asyncio.get_running_loop().time() <= 3_600
    await client.aclose()


async def test_a_message_that_was_never_sent_expires_as_such(server: FaultyServer, path: Path) -> None:
    client = make(server, path, age=0.05)
    with pytest.raises(MessageExpired, match=r"0\.05 s .*age="):
        await client.send_nowait(message(1))
    await client.aclose()
    assert left_in(path) == []


async def test_the_fate_of_a_message_that_was_sent_is_unknown_when_it_expires(
    server: FaultyServer, ledger: ServerLedger, path: Path
) -> None:
    ledger.acknowledges = False
    client = make(server, path)
    await client.connect()
    delivery = client.send_nowait(message(1))
    await until(lambda: ledger.ids == [1])
    durable = client._durable
    assert durable is not None
    durable._queue._expiries[:] = [(0.0, 1)]  # its time is up
    durable._expire()
    with pytest.raises(DeliveryUnknown, match="not settled"):
        await delivery
    await client.aclose()
    assert left_in(path) == []


async def test_bounds_and_ids_are_checked_at_once(server: FaultyServer, path: Path) -> None:
    outbox = DurableOutbox(path, messages=2, bytes=100)
    client = Client(server.url, protocol=Json(acknowledges=ACKNOWLEDGES), outbox=outbox)
    await client.send(message(1))
    with pytest.raises(DuplicateMessage, match="1"):
        await client.send(message(1))
    with pytest.raises(OutboxFull, match="bytes="):
        await client.send({"id": 2, "text": "x" * 100})
    for wrong in (1.5, ["a"], 2**63, "\ud800"):
        with pytest.raises(EncodeError):
            await client.send({"id": wrong, "x": 1} if wrong != "\ud800" else {"id": wrong})
    await client.send(message(2))
    with pytest.raises(OutboxFull, match="messages="):
        await client.send(message(3))
    await client.aclose()
    assert left_in(path) == [(1, False), (2, False)]


async def test_functions_that_fail_harm_no_other_message(server: FaultyServer, path: Path) -> None:
    def id_of(message: Any) -> str:
        name = message["id"]
        assert isinstance(name, str)
        return name

    def acknowledged_by(message: Any) -> Any:
        return message["acks"]

    reported: list[BaseException] = []
    protocol = Json(acknowledges=Acknowledgement(id_of, acknowledged_by))
    client = Client(server.url, protocol=protocol, outbox=DurableOutbox(path), on_error=reported.append)
    with pytest.raises(EncodeError, match=r"id_of= .*raised \w+ for a dict: it must return None"):
        await client.send({})
    await client.connect()
    delivery = client.send_nowait({"id": "a"})
    await until(lambda: repr(delivery) == "<Delivery sent>")
    await server.send('{"other": 1}')
    await server.send('{"acks": ["no id"]}')
    await server.send('{"acks": "a"}')
    await delivery
    await client.aclose()
    assert [type(error) for error in reported if not isinstance(error, TypeError)][-1] is KeyError
    assert any(isinstance(error, TypeError) for error in reported)


# --- the file ---------------------------------------------------------------------------------------------------------


async def test_a_message_that_can_not_be_stored_is_refused_and_never_sent(
    server: FaultyServer, ledger: ServerLedger, path: Path, file_errors: set[type[Operation]]
) -> None:
    client = make(server, path)
    await client.connect()
    await client.send(message(1))
    file_errors.add(Insert)
    with pytest.raises(MessageNotStored, match=f"{path}.*make room"):
        await client.send(message(2))
    with pytest.raises(MessageNotStored):
        await client.send_nowait(message(3))
    file_errors.clear()
    await client.send(message(2))
    await until(lambda: client.status.outbox == 0)
    await client.aclose()
    assert ledger.ids == [1, 2]


async def test_a_deletion_that_fails_is_reported_and_made_good(
    server: FaultyServer, ledger: ServerLedger, path: Path, file_errors: set[type[Operation]]
) -> None:
    reported: list[BaseException] = []
    client = make(server, path, on_error=reported.append)
    await client.connect()
    file_errors.add(Delete)
    await client.send_nowait(message(1))
    await until(lambda: bool(reported))
    file_errors.clear()
    await client.aclose()
    assert [type(error) for error in reported] == [MessageNotStored]
    assert left_in(path) == []


async def test_messages_go_out_even_if_the_file_can_not_be_marked(
    server: FaultyServer, ledger: ServerLedger, path: Path, file_errors: set[type[Operation]]
) -> None:
    reported: list[BaseException] = []
    client = make(server, path, on_error=reported.append)
    await client.send(message(1))
    file_errors.add(Mark)
    await client.connect()
    await until(lambda: client.status.outbox == 0)
    await client.aclose()
    assert ledger.ids == [1]
    assert isinstance(reported[0], MessageNotStored)


@pytest.mark.parametrize("call", ["connect", "connect_nowait", "reconnect", "send", "send_nowait"])
async def test_a_file_that_is_in_use_is_refused_by_each_first_call_and_can_be_used_later(
    server: FaultyServer, path: Path, call: str
) -> None:
    first, second = make(server, path), make(server, path)
    await first.send(message(1))
    arguments = [message(2)] if call.startswith("send") else []
    with pytest.raises(OutboxInUse, match=str(path)):
        await getattr(second, call)(*arguments)
    assert second.state is State.DISCONNECTED
    await first.aclose()
    await second.connect()
    await until(lambda: second.status.outbox == 0)
    await second.aclose()


async def test_a_damaged_file_is_refused_before_anything_is_dialled(server: FaultyServer, path: Path) -> None:
    path.write_bytes(b"no database at all" * 1_000)  # noqa: ASYNC240 - at once
    client = make(server, path)
    with pytest.raises(OutboxUnusable, match=f"{path} is damaged"):
        await client.connect()
    await client.aclose()
    assert server.counts.tcp_accepted == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE messages SET data = 5 WHERE number = 1",
        "UPDATE messages SET message_id = 1.5 WHERE number = 1",
        "UPDATE messages SET message_id = 1",
        "UPDATE messages SET expires_at = 'soon' WHERE number = 1",
        "UPDATE messages SET may_have_arrived = 'perhaps' WHERE number = 1",
        "UPDATE messages SET number = 9223372036854775807 WHERE number = 2",
        "UPDATE messages SET number = -1 WHERE number = 2",
        "ALTER TABLE messages ADD COLUMN more",
    ],
)
async def test_messages_that_another_program_has_changed_are_refused(
    server: FaultyServer, ledger: ServerLedger, path: Path, change: str
) -> None:
    client = make(server, path)
    for number in (1, 2):
        await client.send(message(number))
    await client.aclose()
    database = sqlite3.connect(path)
    database.execute(change)
    database.commit()
    database.close()
    client = make(server, path)
    for _ in range(2):
        with pytest.raises(OutboxUnusable, match=r"damaged.*nothing was changed.*move the file"):
            await client.connect()
    await client.aclose()
    assert ledger.ids == []


@pytest.mark.parametrize("exists", [False, True])
async def test_a_symbolic_link_names_the_file_behind_it(
    server: FaultyServer, ledger: ServerLedger, tmp_path: Path, exists: bool
) -> None:
    (tmp_path / "volume").mkdir()
    path, link = tmp_path / "volume" / "outbox.db", tmp_path / "link.db"
    link.symlink_to(path)
    if exists:
        path.touch()
    client = make(server, link)
    await client.send(message(1))
    with pytest.raises(OutboxInUse):
        await make(server, path).connect()
    await client.aclose()
    assert left_in(path) == [(1, False)]
    async with make(server, link) as client:
        await until(lambda: client.status.outbox == 0)
    assert ledger.ids == [1]


@pytest.mark.parametrize("read_only", ["outbox.db", ""])
async def test_a_file_or_directory_that_is_read_only_is_refused_with_the_remedy(
    server: FaultyServer, path: Path, monkeypatch: pytest.MonkeyPatch, read_only: str
) -> None:
    client = make(server, path)
    await client.send(message(1))
    await client.aclose()
    monkeypatch.setattr(os, "access", lambda of, *_, **__: of != path.parent / read_only)
    client = make(server, path)
    with pytest.raises(OutboxUnusable, match=r"read-only.*a file that this user can write, in such a directory"):
        await client.connect()
    await client.aclose()
    monkeypatch.undo()
    assert left_in(path) == [(1, False)]


def test_ctrl_c_while_the_file_is_opened_gives_it_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            super().result(timeout)
            raise KeyboardInterrupt

    async def send() -> None:
        await Client("ws://127.0.0.1:9/", outbox=DurableOutbox(path)).send("text")

    with monkeypatch.context() as pressed:
        pressed.setattr("onesocket.client._store_writer.Future", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(send())
    gc.collect()
    for thread in outbox_threads():
        thread.join(10)
    asyncio.run(send())


def test_a_client_that_is_left_open_gives_its_file_back_once_its_loop_is_closed(path: Path) -> None:
    async def leave() -> None:
        client = Client("ws://localhost/", protocol=Json(), outbox=DurableOutbox(path))
        await client.send(message(1))

    asyncio.run(leave())
    gc.collect()
    for thread in outbox_threads():
        thread.join(10)
    assert left_in(path) == [(1, False)]


LEFT_OPEN = """
import asyncio, os, sys
from onesocket import Acknowledgement, Client, DurableOutbox, Json
async def main():
    client = Client(sys.argv[1], outbox=DurableOutbox(sys.argv[2]), protocol=Json(
        acknowledges=Acknowledgement(lambda message: message["id"], lambda message: message["ack"])))
    await client.connect()
    await asyncio.gather(*(client.send_nowait({"id": number}) for number in range(20)))
    return client
client = asyncio.run(main())
"""
FORKS = """
import asyncio, os, sys, warnings
from onesocket import Acknowledgement, Client, DurableOutbox, Json, blocking
async def use_another_file(path):
    client = Client(sys.argv[1], outbox=DurableOutbox(path))
    await client.send("of a child")
    await client.aclose()
warnings.simplefilter("ignore")
client = blocking.join(sys.argv[1], outbox=DurableOutbox(sys.argv[2]), protocol=Json(
    acknowledges=Acknowledgement(lambda message: message["id"], lambda message: None))).__enter__()
children = []
for number in range(200):
    client.send({"id": number})
    client.send_nowait({"id": f"in between {number}"})
    if number % 20 == 0:
        child = os.fork()
        if child == 0:
            asyncio.run(use_another_file(f"{sys.argv[2]}-{number}"))
            sys.exit()
        children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
client.close()
"""


async def test_the_end_of_the_interpreter_waits_until_settled_messages_are_removed(
    server: FaultyServer, path: Path
) -> None:
    output = await output_of("-W", "ignore", "-c", LEFT_OPEN, server.url, str(path))
    assert output == ""
    assert left_in(path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Unix only")
async def test_forked_children_leave_the_file_alone_whenever_they_are_made_and_end(
    server: FaultyServer, path: Path
) -> None:
    assert await output_of("-c", FORKS, server.url, str(path)) == f"{[0] * 10}\n"
    in_between = (f"in between {number}" for number in range(200))
    assert [name for name, _ in left_in(path)] == list(itertools.chain(*zip(range(200), in_between, strict=True)))


# --- options and scopes -----------------------------------------------------------------------------------------------


def untyped(value: object) -> Any:
    """As from a caller without a type checker."""
    return value


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: DurableOutbox(""), "path must be"),
        (lambda: DurableOutbox(untyped(b"x")), "path must be"),
        (lambda: DurableOutbox("a\0b"), "path must be"),
        (lambda: DurableOutbox(":memory:"), "OutboxLimits"),
        (lambda: DurableOutbox("x", messages=0), "messages must be"),
        (lambda: DurableOutbox("x", bytes=True), "bytes must be"),
        (lambda: DurableOutbox("x", age=0), "age must be"),
        (lambda: Client("ws://localhost/", outbox=untyped("file")), r"outbox must be OutboxLimits.*DurableOutbox"),
        (lambda: Json(acknowledges=untyped(len)), "must be an Acknowledgement"),
        (lambda: Acknowledgement(id_of=untyped("id"), acknowledged_by=str), "id_of must be a plain function"),
        (
            lambda: Acknowledgement(id_of=str, acknowledged_by=untyped(asyncio.sleep)),
            "acknowledged_by .*plain function",
        ),
    ],
)
def test_bad_options_are_refused_at_once(build: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        build()


def test_the_path_is_that_of_the_directory_in_which_the_outbox_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert DurableOutbox("x.db") == DurableOutbox(tmp_path / "x.db")


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_shared_clients_share_one_durable_outbox(
    server: FaultyServer, ledger: ServerLedger, path: Path, scope: Any
) -> None:
    outbox, protocol = DurableOutbox(path), Json(acknowledges=ACKNOWLEDGES)
    async with (
        join(server.url, scope=scope, outbox=outbox, protocol=protocol) as one,
        join(server.url, scope=scope, outbox=DurableOutbox(path), protocol=protocol) as two,
    ):
        with pytest.raises(OptionConflict):
            await join(server.url, scope=scope, outbox=DurableOutbox(path.with_name("other")), protocol=protocol)
        with pytest.raises(OptionConflict):
            await join(server.url, scope=scope, outbox=OutboxLimits(), protocol=protocol)
        await one.send(message(1))
        ledger.acknowledges = False
        delivery = two.send_nowait(message(2))
        await until(lambda: ledger.ids == [1, 2])
        assert not delivery.done
        await two.send(message(3))
        await server.send('{"ack": 2}')
        await delivery
    await asyncio.sleep(0)
    assert left_in(path) == [(3, True)]


@pytest.mark.parametrize("scope", ["loop", "process"])
async def test_a_join_that_does_not_wait_tells_of_a_file_that_can_not_be_opened(
    server: FaultyServer, tmp_path: Path, scope: Any, caplog: pytest.LogCaptureFixture
) -> None:
    reported: list[BaseException] = []
    outbox = DurableOutbox(tmp_path / "nowhere" / "outbox.db")
    async with join(server.url, scope=scope, outbox=outbox, wait=False, on_error=reported.append) as client:
        stream = client.subscribe()
        await until(lambda: bool(reported))
        with pytest.raises(OutboxUnusable):
            await anext(stream)
    assert [type(error) for error in reported] == [OutboxUnusable]
    assert "connect_nowait() failed: OutboxUnusable" in caplog.text


async def test_blocking_clients_share_it_too(server: FaultyServer, ledger: ServerLedger, path: Path) -> None:
    def run() -> None:
        with blocking.join(server.url, outbox=DurableOutbox(path), protocol=Json(acknowledges=ACKNOWLEDGES)) as client:
            client.send(message(1), timeout=10)
            client.send_nowait(message(2)).result(10)
            ledger.acknowledges = False
            client.send_nowait(message(3))

    await asyncio.to_thread(run)
    assert left_in(path) == [(3, True)]


def test_a_durable_outbox_between_processes_is_refused_with_a_remedy(path: Path) -> None:
    with pytest.raises(InvalidOption, match="scope='process'"):
        join("ws://localhost/", scope="host", outbox=DurableOutbox(path))


async def test_a_durable_outbox_of_a_client_factory_between_processes_is_refused(path: Path) -> None:
    request = join(
        "ws://localhost/",
        scope="host",
        key="one",
        client_factory=lambda: Client("ws://localhost/", outbox=DurableOutbox(path)),
    )
    with pytest.raises(InvalidOption, match="scope='process'"):
        await request


def outbox_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "onesocket outbox"]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    gc.collect()
    for thread in outbox_threads():
        thread.join(5)
    assert not outbox_threads()
