"""Operations of an owner's requesters: each has one result, fails alone, and waits for no other process's flood."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket import Client, OnesocketError, Outcome, Raw
from onesocket.client import OutboxLimits
from onesocket.client._sender import Sender
from onesocket.errors import (
    ClientClosed,
    ConnectionReset,
    DeliveryUnknown,
    EncodeError,
    IpcError,
    ManuallyDisconnected,
    MessageExpired,
    OutboxFull,
)
from onesocket.protocols._pace import SendWindow
from onesocket.sharing.host._ipc_frames import FIRST_REQUEST_NUMBER, Ask
from onesocket.sharing.host._pending_operations import PendingOperations
from onesocket.testing import run_virtual
from onesocket.wire._handshake import Data


class ConnectionStub:
    """A connection that takes messages; its socket may be full."""

    def __init__(self, sender: Sender) -> None:
        self.sent: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.runs: list[int] = []
        """Number of messages of each run that was written."""
        self.room = 10**9
        """Messages that the socket takes before it is full."""
        self._sender = sender

    def send(self, data: str) -> bool:
        if data in self.errors:
            raise self.errors[data]
        self.sent.append(data)
        self.room -= 1
        if self.room <= 0:
            self._sender.writable(False)
        return True

    def send_run(self, messages: list[str]) -> bool:
        for data in messages:
            if data in self.errors:
                raise self.errors[data]
        self.runs.append(len(messages))
        for data in messages:
            self.send(data)
        return True

    def read_by_peer(self, room: int) -> None:
        """The peer has read everything so far, and there is room for so many more."""
        self.room = room
        self._sender.writable(True)


class RequestsStub:
    """Requests go the way of messages, and have no answer."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.asked: list[SimpleNamespace] = []
        self.forgotten: list[SimpleNamespace] = []

    def ask(self, make: Callable[[int], str], *, is_lasting: bool) -> SimpleNamespace:
        del is_lasting
        self._sender.post(make(len(self.asked)))
        self.asked.append(SimpleNamespace(answer=asyncio.get_running_loop().create_future()))
        return self.asked[-1]

    def forget(self, asked: SimpleNamespace) -> None:
        self.forgotten.append(asked)


def ask(number: int, *, is_lasting: bool = False) -> Ask:
    return Ask(FIRST_REQUEST_NUMBER + number, f"ask {number} ID", "ID", is_encoded=False, is_lasting=is_lasting)


class OwnerStub:
    """The client of an owner with a connection, and the operations on it."""

    def __init__(self, pace: Any = None, outbox: OutboxLimits | None = None) -> None:
        self.refusal: OnesocketError | None = None
        self.sender = Sender(
            outbox or OutboxLimits(), refusal=lambda: self.refusal, report=self.fail_on_report, pace=pace
        )
        self.connection = ConnectionStub(self.sender)
        self.is_serving = True
        self.requests = RequestsStub(self.sender)
        internals = SimpleNamespace(
            sender=self.sender, requests=self.requests, runner=SimpleNamespace(refusal=lambda: self.refusal)
        )
        client = cast("Client", SimpleNamespace(internals=internals))
        self.operations = PendingOperations(client, Raw(), lambda: self.is_serving, lambda _: None)
        self.open()

    @staticmethod
    def fail_on_report(*what: object) -> None:
        raise AssertionError(what)

    def open(self, room: int = 10**9) -> None:
        self.connection.room = room
        self.sender.connection_ready(cast("Any", self.connection))

    def fill(self) -> None:
        """Let the socket take this message, and no other."""
        self.connection.room = 1
        self.operations.send(RecordingRequester(), 1, ["last"])


class RecordingRequester:
    """A requester that keeps its results, and calls back for each."""

    def __init__(self) -> None:
        self.results: list[tuple[int, OnesocketError | None]] = []
        self.on_result: Callable[[int, OnesocketError | None], None] = lambda *_: None

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        assert outcome is None
        self.results.append((number, error))
        self.on_result(number, error)

    def add_answer(self, number: int, data: object) -> bool:
        raise NotImplementedError

    def release_slot(self) -> None:
        raise NotImplementedError

    @property
    def errors(self) -> list[tuple[int, type]]:
        return [(number, type(error)) for number, error in self.results]


@pytest.fixture
async def owner() -> OwnerStub:
    return OwnerStub()


async def test_a_flooder_fills_its_own_bounds_and_delays_a_single_message_by_one_of_its_own(owner: OwnerStub) -> None:
    flooder, other = RecordingRequester(), RecordingRequester()
    owner.operations.set_limits(flooder, OutboxLimits(10, 60))
    owner.fill()
    owner.operations.send(flooder, 1, [f"flood {number}" for number in range(100)])
    owner.operations.send(other, 1, ["single"])
    assert flooder.errors == [(number, OutboxFull) for number in range(11, 101)]
    assert other.results == []
    owner.connection.read_by_peer(2)
    assert owner.connection.sent == ["last", "flood 0", "single"]
    owner.connection.read_by_peer(100)
    assert other.results == [(1, None)]
    assert owner.connection.sent[3:] == [f"flood {number}" for number in range(1, 10)]
    assert [number for number, error in flooder.results if error is None] == [*range(1, 11)]


@pytest.mark.parametrize("outbox", [OutboxLimits(0), OutboxLimits(1), OutboxLimits()])
def test_a_flooder_does_not_use_up_the_pace_of_others_nor_need_the_outbox_of_the_owner(outbox: OutboxLimits) -> None:
    async def main() -> None:
        owner = OwnerStub(SendWindow(1, 1.0), outbox)
        flooder, other = RecordingRequester(), RecordingRequester()
        owner.operations.send(flooder, 1, [f"flood {number}" for number in range(1_000)])
        owner.operations.send(other, 1, ["single"])
        await asyncio.sleep(3.5)
        assert "single" in owner.connection.sent
        assert other.results == [(1, None)]
        assert [error for _, error in flooder.results if error is not None] == []
        assert len(owner.connection.sent) <= 4

    run_virtual(main)


@pytest.mark.parametrize("limit", [0, 1])
async def test_a_message_of_a_process_with_a_tiny_outbox_waits_while_the_connection_is_up(
    owner: OwnerStub, limit: int
) -> None:
    flooder, tiny = RecordingRequester(), RecordingRequester()
    owner.operations.set_limits(tiny, OutboxLimits(limit))
    owner.fill()
    owner.operations.send(flooder, 1, ["flood"] * 1_000)
    owner.operations.send(tiny, 1, ["one", "two"])
    assert tiny.errors == [(2, OutboxFull)]
    owner.sender.connection_ended()
    assert tiny.errors == [(2, OutboxFull), *([(1, OutboxFull)] if limit == 0 else [])]
    if limit == 0:
        owner.operations.send(tiny, 3, ["three"])
        assert tiny.errors[2:] == [(3, OutboxFull)]
    owner.open()
    assert ("one" in owner.connection.sent) is (limit == 1)


async def test_messages_wait_for_the_next_connection_in_order(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.sender.connection_ended()
    owner.operations.send(requester, 1, ["one", "two", "three"])
    assert requester.results == []
    owner.open()
    assert owner.connection.sent == ["one", "two", "three"]
    assert requester.results == [(1, None), (2, None), (3, None)]


def test_a_message_that_waits_too_long_was_not_sent() -> None:
    async def main() -> None:
        owner, patient, hasty = OwnerStub(), RecordingRequester(), RecordingRequester()
        owner.operations.set_limits(patient, OutboxLimits(10, 60.0))
        owner.operations.set_limits(hasty, OutboxLimits(10, 5.0))
        owner.fill()
        owner.operations.send(patient, 1, ["patient"])
        owner.operations.send(hasty, 1, ["hasty"])
        await asyncio.sleep(5.1)
        assert hasty.errors == [(1, MessageExpired)]
        owner.connection.read_by_peer(10)
        assert owner.connection.sent == ["last", "patient"]
        await owner.operations.finish()

    run_virtual(main)


async def test_a_stopped_client_refuses_what_waits_and_a_closed_one_leaves_it_to_the_next_owner(
    owner: OwnerStub,
) -> None:
    requester = RecordingRequester()
    owner.fill()
    owner.operations.send(requester, 1, ["one"])
    owner.sender.connection_ended()
    owner.refusal = ManuallyDisconnected()
    owner.sender.reject_waiting(owner.refusal)
    owner.operations.send(requester, 2, ["two"])
    assert requester.errors == [(1, ManuallyDisconnected), (2, ManuallyDisconnected)]
    owner.refusal = None
    owner.operations.send(requester, 3, ["three"])
    owner.sender.reject_waiting(ClientClosed())
    assert len(requester.results) == 2


@pytest.mark.parametrize("is_serving", [True, False])
async def test_an_orderly_close_writes_what_waits_unless_the_next_owner_does(
    owner: OwnerStub, *, is_serving: bool
) -> None:
    own, follower = RecordingRequester(), RecordingRequester()
    owner.fill()
    owner.operations.send(own, 1, ["own"])
    owner.operations.send(follower, 1, ["follower"])
    if not is_serving:
        owner.operations.post_all(own)
    owner.is_serving = is_serving
    owner.sender.connection_closing(drain=True)
    owner.sender.writable(True)
    assert owner.connection.sent == ["last", "own", *(["follower"] if is_serving else [])]
    assert own.results == [(1, None)]
    assert follower.results == ([(1, None)] if is_serving else [])


async def test_an_owner_that_was_replaced_sends_nothing(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.fill()
    owner.operations.send(requester, 1, ["one"])
    owner.is_serving = False
    owner.connection.read_by_peer(10)
    owner.operations.send(requester, 2, ["two"])
    assert owner.connection.sent == ["last"]
    assert requester.results == []


async def test_a_requester_may_send_a_message_again_under_its_number_as_soon_as_it_has_its_result(
    owner: OwnerStub,
) -> None:
    requester = RecordingRequester()

    def send_again(number: int, error: OnesocketError | None) -> None:
        if error is not None:
            owner.operations.send(requester, number, ["again"])

    requester.on_result = send_again
    owner.connection.room = 1
    owner.operations.send(requester, 1, ["first"])
    with pytest.raises(IpcError, match="twice"):
        owner.operations.send(requester, 1, ["first"])
    owner.sender.connection_ended()
    with pytest.raises(IpcError, match="twice"):
        owner.operations.send(requester, 1, ["again"])
    owner.open()
    assert requester.errors == [(1, DeliveryUnknown), (1, type(None))]
    assert owner.connection.sent == ["first", "again"]
    assert repr(owner.operations) == "<PendingOperations <FairOutbox waiting=0 requesters=1> in_flight=0 tasks=0>"


async def test_a_message_that_fails_takes_no_other_with_it(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.connection.errors = {"bad": ZeroDivisionError("token=secret"), "lost": ConnectionReset("lost")}
    for number, message in enumerate(["one", "bad", "two", "lost", "three"]):
        owner.operations.send(requester, number, [message])
    assert requester.errors == [
        (0, type(None)),
        (1, OnesocketError),
        (2, type(None)),
        (3, ConnectionReset),
        (4, type(None)),
    ]
    assert "secret" not in str(requester.results[1][1])


async def test_messages_of_one_frame_are_written_together_in_runs_of_a_bounded_size(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    messages: list[Data] = [
        *(f"small {number}" for number in range(1_000)),
        "x" * 60_000,
        "y" * 60_000,
        "z" * 90_000,
        "last",
    ]
    owner.operations.send(requester, 1, messages)
    assert owner.connection.sent == messages
    assert owner.connection.runs == [1_000]  # each of the large ones goes alone, and so does what is left
    assert requester.results == [(number, None) for number in range(1, 1_005)]


async def test_a_run_that_fills_the_socket_is_sent_once_the_socket_has_taken_it(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.connection.room = 2
    owner.operations.send(requester, 1, ["one", "two", "three"])
    owner.operations.send(requester, 4, ["four", "five"])
    assert requester.results == []
    assert owner.connection.sent == ["one", "two", "three"]
    with pytest.raises(IpcError, match="twice"):
        owner.operations.send(requester, 3, ["three", "four"])
    owner.connection.read_by_peer(10)
    assert owner.connection.sent == ["one", "two", "three", "four", "five"]
    assert requester.results == [(number, None) for number in range(1, 6)]
    owner.connection.room = 1
    owner.operations.send(requester, 6, ["six", "seven"])
    owner.sender.connection_ended()
    assert requester.errors[5:] == [(6, DeliveryUnknown), (7, DeliveryUnknown)]


async def test_a_message_of_a_run_that_is_no_text_fails_alone(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.connection.errors = {"bad": UnicodeError("surrogate")}
    owner.operations.send(requester, 1, ["one", "bad", "two"])
    assert owner.connection.sent == ["one", "two"]
    assert requester.errors == [(1, type(None)), (2, EncodeError), (3, type(None))]


async def test_a_run_whose_write_fails_is_not_written_again(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.connection.errors = {"two": ZeroDivisionError()}
    owner.operations.send(requester, 1, ["one", "two"])
    assert owner.connection.sent == []
    assert requester.errors == [(1, OnesocketError), (2, OnesocketError)]


async def test_a_run_waits_for_frames_that_go_before_it(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.sender.connection_ended()
    owner.sender.hold()
    owner.open()
    owner.operations.send(requester, 1, ["one", "two"])
    assert owner.connection.runs == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert owner.connection.sent == ["one", "two"]


async def test_a_withdrawn_message_was_not_sent_and_one_in_flight_is_unknown(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.connection.room = 1
    owner.operations.send(requester, 1, ["in flight"])
    owner.operations.send(requester, 2, ["waits"])
    for number in (1, 2, 3):
        assert not owner.operations.cancel(requester, number)
    assert requester.errors == [(1, DeliveryUnknown), (2, MessageExpired)]
    owner.connection.read_by_peer(10)
    assert owner.connection.sent == ["in flight"]
    assert len(requester.results) == 2


async def test_a_process_that_dies_takes_its_messages_along(owner: OwnerStub) -> None:
    dead, other = RecordingRequester(), RecordingRequester()
    owner.connection.room = 1
    owner.operations.send(dead, 1, ["in flight"])
    owner.operations.send(dead, 2, ["dead"])
    owner.operations.send(other, 1, ["other"])
    owner.operations.cancel_all(dead)
    owner.connection.read_by_peer(10)
    assert owner.connection.sent == ["in flight", "other"]
    assert dead.results == []
    assert other.results == [(1, None)]


async def test_an_answer_that_comes_behind_the_cancellation_of_its_request_is_late(owner: OwnerStub) -> None:
    requester = RecordingRequester()
    owner.operations.ask(requester, ask(1))
    await asyncio.sleep(0)
    assert owner.operations.cancel(requester, ask(1).number)
    assert owner.requests.forgotten == owner.requests.asked  # in this turn of the loop, in which it may come
    await owner.operations.finish()
    assert repr(owner.operations).endswith("tasks=0>")


async def test_requests_keep_their_place_among_the_messages_of_their_process(owner: OwnerStub) -> None:
    requester, other = RecordingRequester(), RecordingRequester()
    owner.fill()
    owner.operations.send(requester, 1, ["one"])
    owner.operations.ask(requester, ask(1))
    owner.operations.ask(requester, ask(2))
    owner.operations.send(requester, 2, ["two"])
    owner.operations.send(other, 1, ["other"])
    with pytest.raises(IpcError, match="twice"):
        owner.operations.ask(requester, ask(2))
    assert owner.operations.cancel(requester, ask(2).number)
    owner.connection.read_by_peer(10)
    assert owner.connection.sent == ["last", "one", "other", "ask 1 0", "two"]
    assert owner.operations.cancel(requester, ask(1).number)
    await owner.operations.finish()
    assert owner.requests.forgotten == owner.requests.asked
    assert requester.results == [(1, None), (2, None)]


def test_only_a_request_that_was_sent_before_outlasts_the_bounds() -> None:
    async def main() -> None:
        owner, requester = OwnerStub(), RecordingRequester()
        owner.operations.set_limits(requester, OutboxLimits(1, 5.0))
        owner.sender.connection_ended()
        for number, is_lasting in enumerate([False, False, True]):
            owner.operations.ask(requester, ask(number, is_lasting=is_lasting))
        assert requester.errors == [(ask(1).number, OutboxFull)]
        await asyncio.sleep(12)
        assert requester.errors[1:] == [(ask(0).number, MessageExpired)]
        owner.open()
        assert owner.connection.sent == ["ask 2 0"]
        owner.operations.cancel_all(requester)
        await owner.operations.finish()

    run_virtual(main)


async def test_an_operation_that_fails_unexpectedly_has_a_result(owner: OwnerStub) -> None:
    async def fail() -> None:
        raise MemoryError

    requester = RecordingRequester()
    await owner.operations.start(requester, FIRST_REQUEST_NUMBER, fail)
    assert requester.errors == [(FIRST_REQUEST_NUMBER, OnesocketError)]
