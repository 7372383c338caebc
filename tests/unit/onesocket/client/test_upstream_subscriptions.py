"""Subscriptions of a connection, kept equal to those that are wanted."""

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any, cast

import pytest

from onesocket import Json, Raw
from onesocket.client._frame_source import FrameSource
from onesocket.client._sender import Sender
from onesocket.client._upstream_subscriptions import UpstreamSubscriptions
from onesocket.errors import EncodeError, InvalidOption, SubscriptionRefused
from onesocket.protocols import SubscriptionAnswer, Subscriptions


class FramePerKey(Raw):
    """One frame for each key."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"+{key}" for key in sorted(keys)]

    def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"-{key}" for key in sorted(keys)]


def declared(
    subscribe: Callable[[list[str]], Any] = lambda keys: f"+{''.join(keys)}",
    unsubscribe: Callable[[list[str]], Any] = lambda keys: f"-{''.join(keys)}",
    **options: Any,
) -> Raw:
    """One frame for each batch of keys, as ``+abc``."""
    return Raw(subscriptions=Subscriptions(subscribe=subscribe, unsubscribe=unsubscribe, **options))


def read_answer(message: str) -> SubscriptionAnswer | None:
    """``yes`` and ``no``, to the oldest request; ``yes:ab`` and ``no:ab``, to some keys."""
    verdict, colon, keys = message.partition(":")
    if verdict not in ("yes", "no"):
        return None
    return SubscriptionAnswer(tuple(keys) if colon else None, refused="no reason" if verdict == "no" else None)


class RecordingReader:
    """A subscriber that keeps what was refused."""

    def __init__(self) -> None:
        self.errors: list[SubscriptionRefused] = []

    def refused(self, error: SubscriptionRefused) -> None:
        self.errors.append(error)

    @property
    def refused_keys(self) -> str:
        return " ".join("".join(map(str, error.keys)) for error in self.errors)


class RecordingFrameSink:
    """The client's way out: takes so many frames when it is asked to."""

    def __init__(self, protocol: Any = None) -> None:
        self.wanted: list[str] = []
        self.asked = 0
        self.source: FrameSource | None = None
        self.reader = RecordingReader()
        self.show: Callable[[list[Any]], None] = lambda _: None
        self.keys = UpstreamSubscriptions(protocol or FramePerKey(), cast("Sender", self), self._watch)
        self.keys.begin()

    def _watch(self, show: Callable[[list[Any]], None]) -> None:
        self.show = show

    def set_source(self, source: FrameSource) -> None:
        self.source = source

    def ask_source(self) -> None:
        self.asked += 1

    def want(self, text: str) -> None:
        gone = [key for key in self.wanted if key not in text]
        new = [key for key in text if key not in self.wanted]
        self.wanted = list(text)
        self.keys.add_keys(self.reader, new)
        self.keys.remove_keys(self.reader, gone)

    def take(self, most: int = 1_000) -> str:
        taken: list[str] = []
        while len(taken) < most and (frame := self.keys.peek()) is not None:
            taken.append(str(frame))
            self.keys.taken()
        return " ".join(taken)


def test_it_is_the_clients_source_and_asks_with_every_change() -> None:
    sink = RecordingFrameSink()
    assert sink.source is sink.keys
    sink.want("a")
    before = sink.asked
    sink.want("b")
    assert before
    assert sink.asked > before


def test_a_connection_gets_differences_and_a_new_one_everything() -> None:
    sink = RecordingFrameSink()
    sink.want("ab")
    assert sink.take() == "+a +b"
    sink.want("bc")
    assert sink.take() == "-a +c"
    assert sink.take() == ""
    sink.keys.begin()
    assert sink.take() == "+b +c"


def test_frames_are_made_of_what_is_wanted_when_there_is_room() -> None:
    sink = RecordingFrameSink()
    sink.want("a")
    assert sink.keys.peek() == "+a"
    sink.want("ab")
    sink.want("b")
    assert sink.take() == "+b"
    sink.want("")
    assert sink.keys.peek() == "-b"
    sink.want("b")
    assert sink.take() == ""


def test_frames_that_were_begun_are_sent_and_the_next_difference_follows() -> None:
    sink = RecordingFrameSink()
    sink.want("abc")
    assert sink.take(1) == "+a"
    sink.want("cd")
    assert "keys=3 missing=1 unwanted=2" in repr(sink.keys)
    assert sink.take() == "+b +c -a -b +d"


def test_what_was_unsent_on_the_last_connection_is_no_matter_of_the_next() -> None:
    sink = RecordingFrameSink()
    sink.want("abc")
    sink.take(1)
    sink.want("d")
    sink.keys.begin()
    assert sink.take() == "+d"


async def test_a_key_that_the_protocol_cannot_express_keeps_no_other_from_being_sent() -> None:
    class Strict(FramePerKey):
        def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
            if "x" in keys:
                raise TypeError("x")
            return super().subscribe_frames(keys)

        def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
            if "b" in keys:
                raise TypeError("b")
            return super().unsubscribe_frames(keys)

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    sink = RecordingFrameSink(Strict())
    sink.want("a")
    taken = [sink.take()]
    sink.want("axbc")
    taken.append(sink.take())
    assert sink.reader.refused_keys == "x"
    sink.want("d")
    taken.append(sink.take())
    assert taken == ["+a", "+b +c", "-a -c +d"]
    assert list(map(str, reported)) == ["x", "b"]
    sink.keys.begin()
    assert sink.take() == "+d"


async def test_a_frame_that_is_none_is_reported_and_not_sent() -> None:
    class Wrong(FramePerKey):
        def subscribe_frames(self, keys: Iterable[str]) -> list[Any]:
            return [{"subscribe": key} if key == "x" else f"+{key}" for key in sorted(keys)]

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    sink = RecordingFrameSink(Wrong())
    sink.want("ax")
    assert sink.take() == "+a"
    assert [type(error) for error in reported] == [EncodeError]


# --- the declaration --------------------------------------------------------------------------------------------------


def test_a_message_has_at_most_a_batch_of_keys() -> None:
    sink = RecordingFrameSink(declared(batch=2))
    sink.want("abcde")
    assert sink.take() == "+ab +cd +e"
    sink.want("e")
    assert sink.take() == "-ab -cd"


def test_changes_between_two_batches_count() -> None:
    sink = RecordingFrameSink(declared(batch=2))
    sink.want("abcd")
    assert sink.take(1) == "+ab"
    sink.want("ae")
    assert sink.take() == "-b +e"


@pytest.mark.parametrize("several", [tuple, iter])
def test_several_messages_are_a_tuple_or_yielded_and_a_list_is_one_message(several: Callable[[list[Any]], Any]) -> None:
    subscriptions = Subscriptions(subscribe=lambda keys: several([["sub", key] for key in keys]), unsubscribe=list)
    sink = RecordingFrameSink(Json(subscriptions=subscriptions))
    sink.want("ab")
    assert sink.take() == '["sub","a"] ["sub","b"]'
    sink.want("")
    assert sink.take() == '["a","b"]'


def test_a_key_beyond_the_limit_is_refused_and_room_is_made_by_leaving() -> None:
    sink = RecordingFrameSink(declared(limit=2))
    sink.want("abc")
    assert sink.take() == "+ab"
    (error,) = sink.reader.errors
    assert error.keys == ("c",)
    assert error.retryable
    assert str(error) == "the key 'c' was refused (a connection has at most 2 keys)"
    sink.want("b")
    sink.want("bd")
    assert sink.take() == "-a +d"
    assert len(sink.reader.errors) == 1
    sink.keys.begin()
    assert sink.take() == "+bd"


def test_a_key_that_others_have_is_not_beyond_the_limit() -> None:
    sink = RecordingFrameSink(declared(limit=1))
    sink.want("a")
    other = RecordingReader()
    sink.keys.add_keys(other, ["a", "a", "b"])
    assert other.refused_keys == "b"
    assert sink.take() == "+a"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"subscribe": 1}, "subscribe must be a plain function, not int"),
        ({"key": "k"}, "key must be a plain function or None, not str"),
        ({"ack": asyncio.sleep}, "ack must be a plain function or None, not a coroutine function"),
        ({"batch": 0}, "batch must be a whole number of keys >= 1, or None, not 0"),
        ({"limit": True}, "limit must be a whole number"),
        ({"pace": 5}, "pace must be a Pace"),
    ],
)
def test_a_wrong_declaration_is_refused_at_once(options: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        declared(**options)
    with pytest.raises(InvalidOption, match="subscriptions must be Subscriptions"):
        Json(subscriptions=cast("Any", {"subscribe": "a"}))


# --- answers ----------------------------------------------------------------------------------------------------------


def test_refused_keys_are_told_and_not_asked_for_again_until_the_next_subscriber() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    sink.want("ab")
    assert sink.take() == "+ab"
    sink.show(["news", "no:b", "yes:a"])
    (error,) = sink.reader.errors
    assert (error.keys, error.reason, error.retryable) == (("b",), "no reason", False)
    assert str(error) == "the key 'b' was refused (no reason)"
    sink.want("a")
    assert sink.take() == "", "the server doesn't have it, so it isn't given back"
    sink.keys.begin()
    assert sink.take() == "+a"
    sink.keys.add_keys(sink.reader, ["b"])
    assert sink.take() == "+b"


def test_all_subscribers_of_a_key_are_told() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    other = RecordingReader()
    sink.want("ab")
    sink.keys.add_keys(other, ["b", "c"])
    sink.take()
    sink.show(["no:cb"])
    assert sink.reader.refused_keys == "b"
    assert other.refused_keys == "cb"


def test_an_answer_without_keys_is_that_to_the_oldest_message() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer, batch=1))
    sink.want("abc")
    sink.take()
    sink.show(["yes", "no", "yes", "no"])
    assert sink.reader.refused_keys == "b"


def test_a_batch_that_is_refused_for_one_key_is_asked_for_in_parts() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    sink.want("abxcd")
    asked: list[str] = []
    while frames := sink.take():
        asked += frames.split()
        sink.show(["no" if "x" in frame else "yes" for frame in frames.split()])
    assert sink.reader.refused_keys == "x"
    assert asked == ["+abxcd", "+abx", "+cd", "+ab", "+x"]


def test_of_several_messages_that_were_refused_in_part_nothing_is_left() -> None:
    sink = RecordingFrameSink(declared(lambda keys: tuple(f"+{key}" for key in keys), ack=read_answer))
    sink.want("ab")
    assert sink.take() == "+a +b"
    sink.show(["yes", "no"])
    assert sink.take() == "-ab +a +b"
    sink.show(["yes", "no"])
    assert sink.reader.refused_keys == "b"
    assert sink.take() == ""


def test_a_key_of_several_messages_that_was_refused_in_part_is_given_back() -> None:
    sink = RecordingFrameSink(declared(lambda keys: (f"+{keys[0]}1", f"+{keys[0]}2"), ack=read_answer, batch=1))
    sink.want("ab")
    assert sink.take() == "+a1 +a2 +b1 +b2"
    sink.show(["no", "yes", "yes", "yes"])
    assert sink.reader.refused_keys == "a"
    assert sink.take() == "-a"


def test_a_late_refusal_is_none_of_the_next_request_for_the_key() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    for wanted in ("a", "", "a"):
        sink.want(wanted)
        sink.take()
    sink.show(["no:a"])
    assert not sink.reader.errors
    sink.show(["no:a"])
    assert sink.reader.refused_keys == "a"


def test_a_key_that_is_refused_is_not_given_back() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    sink.want("a")
    sink.take()
    sink.want("")
    sink.show(["no"])
    assert sink.take() == ""


def test_answers_of_the_last_connection_are_no_matter_of_the_next() -> None:
    sink = RecordingFrameSink(declared(ack=read_answer))
    sink.want("a")
    sink.take()
    sink.keys.begin()
    sink.show(["no"])
    sink.take()
    assert not sink.reader.errors


def test_an_ack_that_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def fails(message: str) -> SubscriptionAnswer | None:
        return cast("Any", 7) if message == "odd" else read_answer(message.lower())

    sink = RecordingFrameSink(declared(ack=fails))
    sink.want("a")
    sink.take()
    sink.show(["odd", cast("Any", None), "no:a"])
    assert sink.reader.refused_keys == "a"
    assert [record.message for record in caplog.records] == [
        "ack= of subscriptions failed on a message, which is taken for no answer"
    ]


# --- whatever comes between -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_whatever_comes_between_the_view_of_the_server_becomes_what_is_wanted(seed: int) -> None:
    chance = random.Random(seed)
    sink = RecordingFrameSink()
    view: set[str] = set()
    for _ in range(200):
        match chance.randrange(4):
            case 0 | 1:
                sink.want("".join(chance.sample("abcdef", chance.randrange(6))))
            case 2:
                for frame in sink.take(chance.randrange(4)).split():
                    assert (frame[1:] in view) is (frame[0] == "-"), "neither twice nor for nothing"
                    view ^= {frame[1:]}
            case _:
                if chance.random() < 0.3:
                    sink.keys.begin()
                    view.clear()
    for frame in sink.take().split():
        view ^= {frame[1:]}
    assert view == set(sink.wanted)
