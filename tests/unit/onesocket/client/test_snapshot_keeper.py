"""Late readers of one client begin with a snapshot."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket import Client, Gap, Subscriptions
from onesocket.client import GapReason
from onesocket.client._fan_out import FanOut
from onesocket.client._snapshot_keeper import LastValueKeeper, make_snapshot_keeper
from onesocket.errors import InvalidOption
from onesocket.protocols import Json, LastValues, Raw, SnapshotHook
from onesocket.protocols._snapshot import Snapshot
from onesocket.testing import MemoryServer

from ...virtual_time import make_client, on_virtual_time

URL = "ws://127.0.0.1:9"
FIVE: Any = 5
LOST = Gap(GapReason.RECONNECTED, 2)
UNREADABLE = Gap(GapReason.UNDECODABLE, 1, 1)


def make_fan_out(snapshot: Snapshot, errors: list[str] | None = None) -> FanOut:
    def report(error: BaseException, source: str) -> None:
        if errors is None:
            raise error
        errors.append(source)

    protocol = Json(snapshot=snapshot, event="event")
    fan_out = FanOut(
        event_of=protocol.event_of,
        hold=lambda: None,
        release=lambda: None,
        report=report,
        on_loop=lambda call, *arguments: call(*arguments),
    )
    fan_out.early.keep()
    fan_out.keep_snapshots(make_snapshot_keeper(protocol, report))
    return fan_out


def read(stream: Any) -> list[Any]:
    items = []
    while stream.queue.has_items:
        items.append(stream.queue.take())
    return items


def value(key: str, number: int, event: str = "e") -> dict[str, Any]:
    return {"key": key, "number": number, "event": event}


def test_the_first_reader_has_all_and_a_late_one_the_newest_of_each_key() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    sent = [value("a", 1), value("b", 2), {"no": "key"}, value("a", 3)]
    fan_out.publish_many(sent)
    first = fan_out.subscribe()
    assert read(first) == sent
    late = fan_out.subscribe()
    fan_out.publish(value("b", 4))
    assert read(late) == [value("b", 2), value("a", 3), value("b", 4)]
    assert len(fan_out) == 2, "the keeper is no subscriber"


def test_a_late_reader_of_a_part_begins_with_that_part() -> None:
    fan_out = make_fan_out(LastValues(key=lambda message: message["key"]))
    fan_out.subscribe()
    fan_out.publish_many([value("a", 1), value("b", 2, "other"), value("c", 3)])
    assert read(fan_out.subscribe("other")) == [value("b", 2, "other")]
    assert read(fan_out.subscribe(where=lambda message: message["number"] < 3)) == [
        value("a", 1),
        value("b", 2, "other"),
    ]


async def test_a_late_callback_begins_with_its_part() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe()
    fan_out.publish_many([value("a", 1), value("b", 2, "other"), value("c", 3)])
    calls: asyncio.Queue[Any] = asyncio.Queue()
    fan_out.on("other", calls.put_nowait)
    assert await calls.get() == value("b", 2, "other")
    fan_out.on(None, calls.put_nowait, where=lambda message: message["number"] > 2)
    assert await calls.get() == value("c", 3)
    fan_out.publish(value("d", 4))
    assert await calls.get() == value("d", 4)


def test_a_reader_that_a_callback_adds_gets_each_message_once() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe()
    added: list[Any] = []

    def add(message: Any) -> None:
        if message["number"] == 2:
            added.append(fan_out.subscribe())

    fan_out.on(None, add)
    fan_out.publish_many([value("a", 1), value("a", 2), value("a", 3), value("b", 4)])
    assert read(added[0]) == [value("a", 2), value("a", 3), value("b", 4)]


def test_a_lost_connection_empties_the_cache_and_an_unreadable_message_keeps_its_place() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe()
    fan_out.publish(value("a", 1))
    fan_out.announce(UNREADABLE)
    fan_out.publish(value("b", 2))
    assert read(fan_out.subscribe()) == [value("a", 1), UNREADABLE, value("b", 2)]
    assert read(fan_out.subscribe(gaps=False)) == [value("a", 1), value("b", 2)]
    fan_out.announce(LOST)
    assert read(fan_out.subscribe()) == []
    fan_out.publish(value("b", 3))
    assert read(fan_out.subscribe()) == [value("b", 3)]


def test_the_cache_is_bounded() -> None:
    fan_out = make_fan_out(LastValues(key="key", limit=2))
    fan_out.subscribe()
    fan_out.publish_many([value("a", 1), value("b", 2), value("a", 3), value("c", 4)])
    assert read(fan_out.subscribe()) == [value("a", 3), value("c", 4)]


def test_a_reader_for_which_nothing_was_kept_begins_with_the_snapshot() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    first = fan_out.subscribe("e", limit=10_000)  # so that the first reader of everything isn't waited for any more
    for number in range(2_000):
        fan_out.publish(value("a", number))
    assert len(first) == 2_000
    assert read(fan_out.subscribe("e")) == [value("a", 1_999)]
    assert read(fan_out.subscribe()) == [value("a", 1_999)]
    assert read(fan_out.subscribe()) == [value("a", 1_999)]


def test_a_closed_reader_and_one_from_now_get_nothing_of_it() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe()
    fan_out.publish(value("a", 1))
    assert read(fan_out.subscribe(from_now=True)) == []
    fan_out.end()
    ended = fan_out.subscribe()
    assert ended.queue.ended


def test_functions_of_the_program_make_a_snapshot() -> None:
    total: list[int] = [0]

    def update(message: Any) -> None:
        total[0] += message["number"]

    def reset() -> None:
        total[0] = 0

    fan_out = make_fan_out(SnapshotHook(messages=lambda: [{"total": total[0]}], update=update, reset=reset))
    fan_out.subscribe()
    fan_out.publish_many([value("a", 1), value("b", 2)])
    late = fan_out.subscribe()
    fan_out.publish(value("a", 4))
    assert read(late) == [{"total": 3}, value("a", 4)]
    fan_out.announce(LOST)
    assert read(fan_out.subscribe()) == [{"total": 0}]


def _unhashable(message: Any) -> Any:
    return [message]


def _raise(*_: object) -> NoReturn:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("snapshot", "sources"),
    [
        (LastValues(key=_raise), {"key= of LastValues"}),
        (LastValues(key=_unhashable), {"key= of LastValues"}),
        (
            SnapshotHook(messages=_raise, update=_raise, reset=_raise),
            {"messages= of SnapshotHook", "update= of SnapshotHook", "reset= of SnapshotHook"},
        ),
    ],
)
def test_a_function_that_raises_is_reported_and_stops_nothing(snapshot: Snapshot, sources: set[str]) -> None:
    errors: list[str] = []
    fan_out = make_fan_out(snapshot, errors)
    first = fan_out.subscribe()
    fan_out.publish(value("a", 1))
    fan_out.announce(LOST)
    late = fan_out.subscribe()
    fan_out.publish(value("a", 2))
    assert read(first) == [value("a", 1), LOST, value("a", 2)]
    assert read(late) == [value("a", 2)]
    assert set(errors) == sources


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: LastValues(key=FIVE), "key must be"),
        (lambda: LastValues(key="k", limit=0), "limit must be"),
        (lambda: SnapshotHook(messages=FIVE), "messages must be"),
        (lambda: SnapshotHook(messages=list, update=FIVE), "update must be"),
        (lambda: Json(snapshot=FIVE), "snapshot must be LastValues"),
        (lambda: Raw(snapshot=LastValues(key="symbol")), "Raw messages have no fields"),
        (lambda: Client(URL, protocol=Json(snapshot=LastValues())), "needs a key="),
    ],
)
def test_mistakes_are_refused(make: Callable[[], object], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        make()


async def _coroutine(_: Any) -> None:
    pass


COROUTINE: Any = _coroutine


def test_a_coroutine_function_is_refused() -> None:
    for make in (lambda: LastValues(key=COROUTINE), lambda: SnapshotHook(messages=list, update=COROUTINE)):
        with pytest.raises(InvalidOption, match="a coroutine function"):
            make()


def cancels(*_: Any) -> NoReturn:
    raise asyncio.CancelledError


@pytest.mark.parametrize("answer", [cancels, lambda: "text", lambda: b"bytes", lambda: {"one": "message"}])
def test_a_hook_whose_answer_is_no_list_is_reported_and_its_reader_begins_with_the_next_message(
    answer: Callable[[], Any],
) -> None:
    errors: list[str] = []
    fan_out = make_fan_out(SnapshotHook(messages=answer, update=cancels, reset=cancels), errors)
    fan_out.subscribe()
    late = fan_out.subscribe(gaps=False)
    fan_out.announce(LOST)
    fan_out.publish(value("a", 1))
    assert read(late) == [value("a", 1)]
    assert errors == [f"{name}= of SnapshotHook" for name in ("messages", "reset", "update")]


@dataclass
class KeyedTrade:
    key: str
    number: int


def test_the_key_may_be_an_attribute() -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe()
    fan_out.publish_many([KeyedTrade("a", 1), KeyedTrade("a", 2)])
    assert read(fan_out.subscribe()) == [KeyedTrade("a", 2)]


STEP: st.SearchStrategy[tuple[str, list[str]]] = st.one_of(
    st.tuples(st.just("publish"), st.lists(st.sampled_from("abc"), min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["subscribe", "filter", "close", "lost"]), st.just([])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_each_late_stream_is_the_newest_of_each_key_and_all_that_follows(steps: list[tuple[str, list[str]]]) -> None:
    fan_out = make_fan_out(LastValues(key="key"))
    fan_out.subscribe().close()
    newest: dict[str, Any] = {}
    streams: list[tuple[Any, list[Any], str]] = []
    number = 0
    for step, keys in steps:
        match step:
            case "publish":
                batch = [value(key, number + place) for place, key in enumerate(keys)]
                number += len(keys)
                for message in batch:
                    newest.pop(message["key"], None)
                    newest[message["key"]] = message
                for _, expected, wanted in streams:
                    expected += [message for message in batch if message["key"] in wanted]
                fan_out.publish_many(batch)
            case "lost":
                newest.clear()
                for _, expected, _wanted in streams:
                    expected.append(LOST)
                fan_out.announce(LOST)
            case "close" if streams:
                stream, expected, _wanted = streams.pop()
                assert read(stream) == expected
                stream.close()
            case _:
                if step == "close":
                    continue
                wanted = "abc" if step == "subscribe" else "ab"
                where = None if step == "subscribe" else lambda message: message["key"] in "ab"
                begin = [message for key, message in newest.items() if key in wanted]
                streams.append((fan_out.subscribe(where=where), begin, wanted))
    for stream, expected, _wanted in streams:
        assert read(stream) == expected


@on_virtual_time
async def test_messages_behind_the_end_of_a_subscription_are_not_kept_for_the_next_one() -> None:
    subscriptions = Subscriptions(
        subscribe=lambda keys: {"add": keys}, unsubscribe=lambda keys: {"end": keys}, key=lambda message: message["key"]
    )
    server = MemoryServer(latency=0.1)
    protocol = Json(subscriptions=subscriptions, snapshot=LastValues(limit=2))
    async with make_client(server, protocol=protocol) as client:
        (peer,) = server.peers

        async def change(key: str, number: int) -> None:
            peer.send(json.dumps({"key": key, "number": number}))
            await asyncio.sleep(1)

        everything = client.subscribe(gaps=False)
        stream = client.subscribe(keys=["a"], gaps=False)
        await change("a", 1)
        stream.close()
        await change("a", 2)  # the server has not read yet that it has ended
        again = client.subscribe(keys=["a"], gaps=False)
        await change("a", 3)
        assert await anext(again) == {"key": "a", "number": 3}
        assert await anext(client.subscribe(keys=["a"])) == {"key": "a", "number": 3}, "it is kept again"
        assert [(await anext(everything))["number"] for _ in range(3)] == [1, 2, 3]
        keeper = client.internals.fan_out.keeper
        assert isinstance(keeper, LastValueKeeper)
        for number in range(5):
            client.subscribe(keys=[f"key {number}"]).close()
            await asyncio.sleep(1)
        assert len(keeper._ended) == 2, "bounded"
        peer.drop()
        await asyncio.sleep(1)
        assert not keeper._ended, "of the present connection"
