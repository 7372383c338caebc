"""A service's protocol in terms of frames, and the language of its hub's local clients."""

import json
from collections.abc import Hashable
from typing import Any

import pytest

from onesocket import Json, Login, Pace, Requests, Subscriptions
from onesocket.errors import InvalidOption
from onesocket.hub._merge import Interest
from onesocket.hub._service_frames import ServiceFrames, ServiceInterests
from onesocket.protocols import Deliver, LastValues, Ready, SnapshotHook, SubscriptionAnswer


def answer(message: Any) -> SubscriptionAnswer | None:
    return SubscriptionAnswer(message["ok"]) if "ok" in message else None


SUBSCRIPTIONS = Subscriptions(
    subscribe=lambda keys: {"sub": keys},
    unsubscribe=lambda keys: ({"unsub": key} for key in keys),
    key=lambda message: message.get("key"),
    ack=answer,
    batch=2,
    limit=3,
)
NESTED: list[Any] = ["A", ("b", (1,))]
BROKEN = '{"key": '


def frames(**options: Any) -> ServiceFrames:
    return ServiceFrames(Json(subscriptions=SUBSCRIPTIONS, **options))


def test_subscriptions_make_read_and_judge_frames() -> None:
    pace = Pace(5)
    service = frames(pace=pace)
    declared = service.subscriptions
    assert declared is not None
    assert declared.unsubscribe is not None
    assert (declared.batch, declared.limit, service.pace) == (2, 3, pace)
    assert list(declared.subscribe(["a", "b"])) == ['{"sub":["a","b"]}']
    assert list(declared.unsubscribe(["a", "b"])) == ['{"unsub":"a"}', '{"unsub":"b"}']
    assert service.key_of_frame('{"key":"a"}') == "a"
    assert [service.is_answer(frame) for frame in ('{"ok":["a"]}', '{"key":"a"}', BROKEN)] == [True, False, False]
    assert service.key_of_frame(BROKEN) is None  # all clients get it, and can say what is wrong


def test_a_frame_of_several_messages_goes_on_as_one_frame_for_each_also_to_other_processes() -> None:
    login = Login(ready=lambda message: message == "in")
    service = ServiceFrames(Json(many=True, login=login))
    list(service.opened(None, 0.0))
    ready, first, second = service.received('["in",{"a":1},{"b":2.50}]', 0.0)
    assert isinstance(ready, Ready)
    assert (first, second) == (Deliver('{"a":1}', '{"a":1}'), Deliver('{"b":2.50}', '{"b":2.50}'))
    forwarded = ServiceFrames(service)
    assert list(forwarded.received('[1,{"a":1}]', 0.0)) == [Deliver("1", "1"), Deliver('{"a":1}', '{"a":1}')]


def test_a_snapshot_is_kept_by_the_keys_of_frames_and_brings_frames() -> None:
    assert frames(snapshot=LastValues()).snapshot == LastValues()  # by the keys of subscriptions
    last = frames(snapshot=LastValues(key="key", limit=7)).snapshot
    assert isinstance(last, LastValues)
    assert last.limit == 7
    assert callable(last.key)
    assert last.key('{"key":"a"}') == "a"
    seen: list[Any] = []
    hook = frames(snapshot=SnapshotHook(messages=lambda: [{"state": 1}], update=seen.append)).snapshot
    assert isinstance(hook, SnapshotHook)
    assert hook.update is not None
    hook.update('{"key":"a"}')
    assert (seen, hook.messages()) == ([{"key": "a"}], ['{"state":1}'])


def test_requests_read_and_write_the_ids_of_frames_and_stop_by_a_frame() -> None:
    requests = frames(requests=Requests(id="n", make_id=str, stop=lambda asked: {"stop": asked["n"]})).requests
    assert requests is not None
    assert requests.own_id('{"n":7,"x":1.50}') == 7
    assert requests.put('{"n":7,"x":1.50}', "k") == '{"n":"k","x":1.50}'
    assert requests.put_stop('{"n":7}', 1, lambda: 2) == '{"stop":1,"n":2}'
    assert requests.make_id(3) == "3"
    assert frames().requests is None


def upper(word: str) -> Hashable:
    if word == "*":
        raise InvalidOption("'*' is no key")
    return word.upper()


@pytest.mark.parametrize(
    ("message", "interest"),
    [
        ({"op": "subscribe", "args": ["a", ["b", [1]]]}, Interest(add=NESTED)),
        ({"op": "unsubscribe", "args": ["a"]}, Interest(remove=["A"])),
        ({"op": "subscribe", "args": "a"}, None),
        ({"op": "order", "args": ["a"]}, None),
        (["subscribe"], None),
    ],
)
def test_local_clients_name_keys_in_one_language(message: Any, interest: Interest | None) -> None:
    assert ServiceInterests(frames(), upper).read(json.dumps(message)) == interest


def test_words_that_are_no_keys_are_refused_and_refusals_are_told() -> None:
    local = ServiceInterests(frames(), upper)
    assert local.read(BROKEN) is None
    for word in ("*", {"a": 1}):
        with pytest.raises(InvalidOption):
            local.read(json.dumps({"op": "subscribe", "args": [word]}))
    told = [json.loads(text) for text in local.refused(frozenset([("b", 1), "A"]), "unknown")]
    assert told == [{"op": "refused", "args": [["b", 1], "A"], "reason": "unknown"}]


def test_the_service_keeps_a_lost_connection_for_as_long_as_its_protocol_says() -> None:
    assert ServiceFrames(Json(ghost_seconds=60)).ghost_seconds == 60


def test_subscriptions_that_are_requests_get_their_ids_in_frames() -> None:
    subscriptions = Subscriptions(
        subscribe=lambda keys: {"sub": keys}, key=lambda message: message.get("k"), requests=True
    )
    requests = Requests(refused=lambda answer: answer.get("no"), stop=lambda request: {"stop": request["id"]})
    service = ServiceFrames(Json(requests=requests, subscriptions=subscriptions))
    assert service.subscriptions is not None
    assert service.requests is not None
    assert service.requests.refused is not None
    assert service.requests.stop is not None
    assert service.subscriptions.unsubscribe is None
    (frame,) = service.subscriptions.subscribe(["a"])
    numbered = service.requests.put(frame, 7)
    assert numbered == '{"sub":["a"],"id":7}'
    assert service.requests.stop(numbered) == '{"stop":7}'
    assert [service.requests.refused(answer) for answer in ('{"id":7,"no":"bad"}', '{"id":7}', BROKEN)] == [
        "bad",
        None,
        None,
    ]
    phoenix = Requests(id_of=lambda message: message[0], with_id=lambda message, id_: [id_, *message[1:]], stop=list)
    with pytest.raises(InvalidOption, match="can't put ids into subscriptions"):
        ServiceFrames(Json(requests=phoenix, subscriptions=subscriptions))
