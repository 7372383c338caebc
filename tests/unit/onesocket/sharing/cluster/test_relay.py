"""Operations of this host's processes for a leader elsewhere: numbers, order, and fates when the leader ends."""

from typing import Any

import pytest

from onesocket.errors import (
    DeliveryUnknown,
    EngineUnavailable,
    MessageExpired,
    OnesocketError,
    OutboxFull,
    RequestLost,
    SlowConsumer,
    SubscriptionRefused,
)
from onesocket.lifecycle._effects import Outcome
from onesocket.sharing.cluster._relay import Relay
from onesocket.sharing.host._ipc_frames import (
    FIRST_REQUEST_NUMBER,
    Answer,
    Ask,
    Cancellation,
    OutboxBounds,
    Request,
    Results,
    SendMessages,
    Subscribe,
    SubscriptionRefusal,
    Verb,
)

REQUEST = FIRST_REQUEST_NUMBER + 5
ASK = Ask(REQUEST, "ask <1>", "<1>", is_encoded=True)


class LocalProcess:
    """One of this host."""

    def __init__(self) -> None:
        self.results: list[tuple[int, Outcome | None, type | None]] = []
        self.answers: list[tuple[int, Any]] = []
        self.refusals: list[SubscriptionRefused] = []
        self.released = 0
        self.reads = True

    def add_result(self, number: int, outcome: Outcome | None, error: OnesocketError | None) -> None:
        self.results.append((number, outcome, None if error is None else type(error)))

    def add_answer(self, number: int, data: Any) -> bool:
        self.answers.append((number, data))
        return self.reads

    def release_slot(self) -> None:
        self.released += 1

    def refused(self, error: SubscriptionRefused) -> None:
        self.refusals.append(error)

    def send_snapshot(self, number: int, frames: list[Any]) -> None:
        raise NotImplementedError


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def process() -> LocalProcess:
    return LocalProcess()


def test_messages_of_several_processes_go_up_under_numbers_of_their_own(relay: Relay, process: LocalProcess) -> None:
    other = LocalProcess()
    relay.perform(process, SendMessages(10, ["a", "b"]), is_up=True)
    relay.perform(other, SendMessages(10, ["c"]), is_up=True)
    relay.perform(process, ASK, is_up=True)
    relay.perform(other, SendMessages(11, ["d"]), is_up=True)
    assert relay.take_frames() == [
        SendMessages(1, ["a", "b", "c"]),
        Ask(FIRST_REQUEST_NUMBER, "ask <1>", "<1>", is_encoded=True),
        SendMessages(4, ["d"]),
    ]
    assert relay.has_submitted
    assert not relay.has_frames
    relay.on_answer(Answer(FIRST_REQUEST_NUMBER, "answer"))
    relay.on_results(Results([(2, None, OutboxFull("no"))], [(1, 1), (3, 4)]))
    relay.on_results(Results([(FIRST_REQUEST_NUMBER, None, None)]))
    assert process.results == [(10, None, None), (11, None, OutboxFull), (REQUEST, None, None)]
    assert process.answers == [(REQUEST, "answer")]
    assert other.results == [(10, None, None), (11, None, None)]
    assert not relay.has_submitted


def test_a_take_is_bounded_in_bytes(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, SendMessages(1, ["x" * 10] * 5), is_up=True)
    assert relay.take_frames(20) == [SendMessages(1, ["x" * 10] * 2)]
    assert relay.take_frames(20) == [SendMessages(3, ["x" * 10] * 2)]
    assert relay.take_frames(20) == [SendMessages(5, ["x" * 10])]
    assert relay.take_frames(20) == []


def test_after_an_orderly_end_everything_without_a_result_is_for_the_next_leader(
    relay: Relay, process: LocalProcess
) -> None:
    relay.perform(process, SendMessages(1, ["a", "b"]), is_up=True)
    relay.perform(process, ASK, is_up=True)
    relay.take_frames()
    relay.on_results(Results([], [(1, 1)]))
    relay.perform(process, SendMessages(3, ["c"]), is_up=True)
    relay.leader_gone(in_order=True)
    assert process.results == [(1, None, None)]
    assert [type(frame) for frame in relay.take_frames()] == [SendMessages, Ask, SendMessages]


def test_after_another_end_the_fate_of_what_was_submitted_is_unknown(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.perform(process, ASK, is_up=True)
    relay.perform(process, Request(REQUEST + 1, Verb.RECONNECT), is_up=True)
    relay.take_frames()
    relay.perform(process, SendMessages(2, ["b"]), is_up=True)
    relay.leader_gone(in_order=False)
    assert process.results == [(1, None, DeliveryUnknown), (REQUEST, None, RequestLost)]
    # What was never submitted is for the next leader, as is a call that can be performed twice.
    reconnect, messages = relay.take_frames()
    assert isinstance(reconnect, Request)
    assert reconnect.verb is Verb.RECONNECT
    assert messages == SendMessages(2, ["b"])


def test_what_the_engine_refused_was_not_submitted(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.take_frames()
    relay.perform(process, SendMessages(2, ["b"]), is_up=True)
    relay.take_frames()
    relay.perform(process, SendMessages(3, ["c"]), is_up=True)
    relay.put_back()
    relay.leader_gone(in_order=False)
    assert process.results == [(1, None, DeliveryUnknown)]
    assert relay.take_frames() == [SendMessages(3, ["b", "c"])]


def test_results_of_a_leader_that_is_gone_are_of_no_use(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.take_frames()
    relay.leader_gone(in_order=True)
    relay.on_results(Results([], [(1, 1)]))
    relay.on_answer(Answer(1, "late"))
    assert process.results == []


def test_a_message_that_waits_can_be_withdrawn_and_one_at_the_leader_is_recalled(
    relay: Relay, process: LocalProcess
) -> None:
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.take_frames()
    relay.perform(process, SendMessages(2, ["b"]), is_up=True)
    for number in (1, 2, 3):
        relay.perform(process, Cancellation(number), is_up=True)
    assert process.results == [(2, None, MessageExpired)]
    assert relay.take_frames() == [Cancellation(1)]
    relay.on_results(Results([(1, None, MessageExpired("withdrawn"))]))
    assert process.results[1:] == [(1, None, MessageExpired)]


def test_a_cancelled_request_has_no_result(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, ASK, is_up=True)
    relay.perform(process, Cancellation(REQUEST), is_up=True)
    assert process.released == 1
    relay.perform(process, ASK, is_up=True)
    relay.take_frames()
    relay.perform(process, Cancellation(REQUEST), is_up=True)
    assert process.released == 2
    assert relay.take_frames() == [Cancellation(FIRST_REQUEST_NUMBER)]
    relay.on_results(Results([(FIRST_REQUEST_NUMBER, None, None)]))
    assert process.results == []


def test_answers_to_a_process_that_does_not_read_them_are_cancelled(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, ASK, is_up=True)
    relay.take_frames()
    process.reads = False
    relay.on_answer(Answer(FIRST_REQUEST_NUMBER, "one"))
    assert relay.take_frames() == [Cancellation(FIRST_REQUEST_NUMBER)]
    assert process.results == [(REQUEST, None, SlowConsumer)]


def test_the_operations_of_a_process_that_is_gone_are_cancelled(relay: Relay, process: LocalProcess) -> None:
    other = LocalProcess()
    relay.perform(process, Subscribe(["k"], []), is_up=True)
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.take_frames()
    relay.perform(process, SendMessages(2, ["b"]), is_up=True)
    relay.perform(other, SendMessages(1, ["c"]), is_up=True)
    relay.forget(process)
    assert relay.take_frames() == [Cancellation(1), Subscribe([], ["k"]), SendMessages(2, ["c"])]


def test_the_limits_of_a_process_hold_while_there_is_no_connection(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, OutboxBounds(1, 60.0), is_up=False)
    relay.perform(process, SendMessages(1, ["a", "b"]), is_up=False)
    assert process.results == [(2, None, OutboxFull)]
    relay.perform(process, SendMessages(3, ["c"]), is_up=True)
    assert process.results == [(2, None, OutboxFull)]
    relay.perform(process, OutboxBounds(0, 60.0), is_up=True)
    relay.on_lost()
    assert process.results[1:] == [(1, None, OutboxFull), (3, None, OutboxFull)]


def test_subscriptions_of_all_processes_are_told_to_each_leader(relay: Relay, process: LocalProcess) -> None:
    other = LocalProcess()
    relay.perform(process, OutboxBounds(5, 60.0), is_up=True)
    relay.perform(process, Subscribe(["a"], []), is_up=True)
    relay.perform(other, Subscribe(["a", "b"], []), is_up=True)
    relay.perform(process, Subscribe([], ["a"]), is_up=True)
    assert relay.take_frames() == [OutboxBounds(5, 60.0), Subscribe(["a"], []), Subscribe(["b"], [])]
    relay.leader_gone(in_order=False)
    relay.begin_epoch()
    bounds, subscribe = relay.take_frames()
    assert bounds == OutboxBounds(5, 60.0)
    assert isinstance(subscribe, Subscribe)
    assert sorted(subscribe.add) == ["a", "b"]
    relay.on_refusal(SubscriptionRefusal(["b"], "no", retryable=False))
    assert [error.keys for error in other.refusals] == [("b",)]
    assert process.refusals == []
    assert relay.take_frames() == [Subscribe([], ["b"])]


def test_a_host_that_leads_takes_over_what_waits(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, OutboxBounds(5, 60.0), is_up=True)
    relay.perform(process, Subscribe(["a", "a"], []), is_up=True)
    relay.perform(process, SendMessages(7, ["m"]), is_up=True)
    relay.perform(process, ASK, is_up=True)
    assert list(relay.take_all()) == [
        (process, OutboxBounds(5, 60.0)),
        (process, Subscribe(["a", "a"], [])),
        (process, SendMessages(7, ["m"])),
        (process, ASK),
    ]
    assert list(relay.take_all())[2:] == []


def test_what_waits_can_be_refused(relay: Relay, process: LocalProcess) -> None:
    relay.perform(process, Request(REQUEST, Verb.CONNECT), is_up=False)
    relay.perform(process, Request(REQUEST + 1, Verb.CONNECT_RETRYING), is_up=False)
    relay.refuse(EngineUnavailable("away"), verbs=frozenset({Verb.CONNECT}))
    assert process.results == [(REQUEST, None, EngineUnavailable)]
    relay.refuse(EngineUnavailable("away"))
    assert process.results[1:] == [(REQUEST + 1, None, EngineUnavailable)]


async def test_it_says_when_nothing_is_under_way(relay: Relay, process: LocalProcess) -> None:
    assert relay.settled().done()
    relay.perform(process, SendMessages(1, ["a"]), is_up=True)
    relay.take_frames()
    settled = relay.settled()
    relay.on_results(Results([], [(7, 7)]))
    assert not settled.done()
    relay.on_results(Results([], [(1, 1)]))
    assert settled.done()
