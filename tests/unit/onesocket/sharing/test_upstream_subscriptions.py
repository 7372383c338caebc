"""Subscriptions of a connection, kept equal to those that are wanted."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any, cast

import pytest

from onesocket import Raw
from onesocket.client._sender import FrameSource, Sender
from onesocket.errors import EncodeError
from onesocket.sharing._upstream_subscriptions import UpstreamSubscriptions


class FramePerKey(Raw):
    """One frame for each key."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"+{key}" for key in sorted(keys)]

    def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"-{key}" for key in sorted(keys)]


class RecordingFrameSink:
    """The client's way out: takes so many frames when it is asked to."""

    def __init__(self, protocol: Any = None) -> None:
        self.wanted: frozenset[str] = frozenset()
        self.asked = 0
        self.source: FrameSource | None = None
        self.keys = UpstreamSubscriptions(protocol or FramePerKey(), cast("Sender", self), lambda: self.wanted)
        self.keys.begin()

    def set_source(self, source: FrameSource) -> None:
        self.source = source

    def ask_source(self) -> None:
        self.asked += 1

    def want(self, text: str) -> None:
        self.wanted = frozenset(text)
        self.keys.changed()

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
    sink.want("b")
    assert sink.asked == 2


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
    assert "keys=3 unsent=2" in repr(sink.keys)
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

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    sink = RecordingFrameSink(Strict())
    sink.want("a")
    taken = [sink.take()]
    sink.want("axb")
    taken.append(sink.take())
    sink.want("xb")
    taken.append(sink.take())
    assert taken == ["+a", "+b", "-a"]
    assert len(reported) == 1
    sink.keys.begin()
    assert sink.take() == "+b"


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
    assert view == sink.wanted
