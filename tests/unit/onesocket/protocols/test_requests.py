"""`Requests`, the table of pending ones, and frames whose ids are filled in by another process."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onesocket import Json, Msgpack, Raw, Requests
from onesocket.errors import InvalidOption, OnesocketError, RequestRefused, ServerBusy, UsageError
from onesocket.protocols import Protocol
from onesocket.protocols._request_table import RequestTable
from onesocket.protocols._request_template import RequestTemplate


class Question(msgspec.Struct):
    text: str
    id: int = 0


@dataclasses.dataclass(frozen=True)
class Ask:
    text: str
    id: int | None = None


def with_ref(message: list[Any], ref: Any) -> list[Any]:
    return [ref, *message[1:]]


PHOENIX = Requests(make_id=str, id_of=lambda message: message[0], with_id=with_ref)


@pytest.mark.parametrize("message", [{"text": "a", "id": 7}, Question("a", 7), Ask("a", 7)])
def test_an_id_is_put_into_a_copy_and_restored(message: Any) -> None:
    requests = Requests()
    assert requests.own_id(message) == 7
    asked = requests.put(message, 3)
    assert (requests.find(asked), requests.find(message)) == (3, 7)
    assert requests.restore(asked, 7) == message


def test_an_answer_without_an_earlier_id_keeps_its_own() -> None:
    requests = Requests(id="req_id")
    assert requests.own_id({"op": "ping"}) is None
    assert requests.restore({"req_id": 4, "op": "pong"}, None) == {"req_id": 4, "op": "pong"}


@pytest.mark.parametrize("id_", [True, None, 1.0, [1], {}])
def test_what_is_neither_text_nor_a_number_is_no_id(id_: Any) -> None:
    assert Requests().find({"id": id_}) is None
    assert Requests(id_of=lambda message: message["id"]).find({"id": id_}) is None
    assert Requests().find("text") is None


def test_functions_tell_where_the_id_is() -> None:
    message = ["mine", "topic", "event"]
    assert PHOENIX.put(message, "4") == ["4", "topic", "event"]
    assert PHOENIX.own_id(message) == "mine"
    assert PHOENIX.restore(["4", "topic", "reply"], "mine") == ["mine", "topic", "reply"]


def test_an_event_with_the_same_member_is_no_answer_by_id_of_alone() -> None:
    requests = Requests(id_of=lambda message: message.get("id") if message.get("type") == "result" else None)
    assert requests.find({"id": 1, "type": "trade"}) is None
    assert requests.find({"id": 1, "type": "result"}) == 1
    assert requests.own_id({"id": 9, "type": "get"}) == 9


def test_refusals_are_typed() -> None:
    requests = Requests(refused=lambda answer: answer.get("error"))
    assert requests.refusal({"id": 1}) is None
    refusal = requests.refusal({"id": 1, "error": "no such pair"})
    assert isinstance(refusal, RequestRefused)
    assert (str(refusal), refusal.answer) == (
        "the request was refused: no such pair",
        {"id": 1, "error": "no such pair"},
    )
    busy = ServerBusy("later", retry_after=3)
    assert Requests(refused=lambda _: busy).refusal({}) is busy
    copied = refusal.copy()
    assert copied.answer == refusal.answer


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": 5},
        {"make_id": None},
        {"make_id": "x"},
        {"id_of": 3},
        {"with_id": 3},
        {"refused": 3},
        {"last": 3},
        {"stop": 3},
    ],
)
def test_options_of_the_wrong_kind_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=rf"Requests: {next(iter(wrong))} must be"):
        Requests(**wrong)


@pytest.mark.parametrize("message", ["text", 5, ["id", 1], object(), Ask])
def test_a_message_that_can_get_no_id_names_the_remedy(message: Any) -> None:
    with pytest.raises(UsageError, match="with_id"):
        Requests().put(message, 1)


@pytest.mark.parametrize("message", [Question("a"), Ask("a")])
def test_a_type_without_the_field_is_told(message: Any) -> None:
    with pytest.raises(UsageError, match="has no field 'ref'"):
        Requests(id="ref").put(message, 1)


def test_a_codec_takes_requests_and_nothing_else() -> None:
    requests = Requests()
    assert (Json(requests=requests).requests, Raw().requests) == (requests, None)
    with pytest.raises(InvalidOption, match=r"requests must be a Requests\(\.\.\.\) or None, not 'id'"):
        Json(requests="id")  # type: ignore[call-overload]
    assert Json(requests=requests).fingerprint == Json(requests=Requests()).fingerprint
    assert Json(requests=requests).fingerprint != Json(requests=Requests(id="ref")).fingerprint


# --- the table --------------------------------------------------------------------------------------------------------


def test_ids_are_never_used_twice() -> None:
    table: RequestTable[str] = RequestTable()
    assert [table.new_id(int) for _ in range(3)] == [1, 2, 3]
    assert table.new_id(str) == "4"
    table.pending[5] = "asked"
    with pytest.raises(UsageError, match="returned 5 again"):
        table.new_id(int)
    for made in (None, True, 1.5):
        with pytest.raises(UsageError, match=f"returned {made}, which is no id"):
            table.new_id(lambda _, made=made: made)  # type: ignore[misc]


def test_late_answers_are_known_until_the_next_connection_and_counted_once_each() -> None:
    table: RequestTable[str] = RequestTable()
    table.pending[1] = table.pending[2] = "asked"
    table.abandon(1)
    table.abandon(2, is_answered=True)
    assert table.drop_late(1)
    assert table.drop_late(2)
    assert not table.drop_late(3)
    assert (table.late, table.pending, table.is_idle) == (1, {}, False)
    table.begin()
    assert not table.drop_late(1)
    assert table.is_idle


def test_the_number_of_abandoned_ids_is_bounded() -> None:
    table: RequestTable[str] = RequestTable()
    for number in range(5000):
        table.abandon(number)
    assert not table.drop_late(0)
    assert table.drop_late(4999)


# --- templates --------------------------------------------------------------------------------------------------------

PROTOCOLS: dict[str, Protocol] = {
    "json": Json(requests=Requests()),
    "json, texts": Json(requests=Requests(make_id=str)),
    "msgpack": Msgpack(requests=Requests()),
    "msgpack, texts": Msgpack(requests=Requests(make_id=str)),
}


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=30)
@given(
    st.integers(0, 2**53),
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.text(max_size=3), st.one_of(st.integers(0, 2**52 - 1), st.text(), st.none()), max_size=3),
)
def test_a_template_makes_the_frame_that_the_protocol_makes(
    name: str, number: int, text: str, message: dict[str, Any]
) -> None:
    protocol: Any = PROTOCOLS[name]
    id_ = text if "texts" in name else number
    template = RequestTemplate.of(protocol, message)
    assert protocol.decode(template.fill(protocol, id_)) == {**message, "id": id_}


def test_a_template_of_raw_text_has_the_id_as_its_text() -> None:
    protocol = Raw(
        requests=Requests(id_of=lambda text: text.split()[0], with_id=lambda text, id_: f"{id_} {text.split()[1]}")
    )
    template = RequestTemplate.of(protocol, "mine GET")
    assert template.fill(protocol, 12) == "12 GET"
    protocol = Raw(requests=Requests(id_of=lambda data: None, with_id=lambda data, id_: b"%d " % int(id_) + data))
    assert RequestTemplate.of(protocol, b"GET").fill(protocol, 12) == b"12 GET"


@pytest.mark.parametrize("kind", [Json, Msgpack])
@pytest.mark.parametrize("make_id", [int, str])
def test_a_template_stops_its_stream_with_both_ids(kind: Any, make_id: Any) -> None:
    protocol = kind(requests=Requests(make_id=make_id, stop=lambda request: {"stops": request["id"]}))
    template = RequestTemplate.of(protocol, {"q": 1})
    frame = template.fill_stop(protocol, make_id(7), lambda: make_id(8))
    assert protocol.decode(frame) == {"stops": make_id(7), "id": make_id(8)}

    def own_id() -> Any:
        raise AssertionError("it has one")

    protocol = kind(requests=Requests(make_id=make_id, stop=lambda request: {"id": request["id"], "end": True}))
    frame = RequestTemplate.of(protocol, {"q": 1}).fill_stop(protocol, make_id(7), own_id)
    assert protocol.decode(frame) == {"id": make_id(7), "end": True}
    protocol = kind(requests=Requests(stop=lambda _: None))
    assert RequestTemplate.of(protocol, {"q": 1}).fill_stop(protocol, 7, own_id) is None


def test_a_template_of_another_codec_is_filled_where_that_can_be() -> None:
    raw = Raw(requests=Requests())
    numbers, texts = Json(requests=Requests()), Json(requests=Requests(make_id=str))
    assert RequestTemplate.of(numbers, {"q": 1}).fill(raw, 7) == '{"q":1,"id":7}'
    with pytest.raises(InvalidOption, match="give all of them the same codec"):
        RequestTemplate.of(Msgpack(requests=Requests()), {"q": 1}).fill(raw, 7)
    assert RequestTemplate.of(texts, {"q": 1}).fill(texts, 'a"b') == '{"q":1,"id":"a\\"b"}'


def test_a_template_needs_the_id_in_its_frame() -> None:
    for protocol in (
        Raw(requests=Requests(with_id=lambda text, _: text)),
        Json(requests=Requests(with_id=lambda m, _: m)),
    ):
        with pytest.raises(InvalidOption, match="with_id"):
            RequestTemplate.of(protocol, "text")
    with pytest.raises(OnesocketError, match="declares no requests"):
        RequestTemplate.of(Raw(), "text")
