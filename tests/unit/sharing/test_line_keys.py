"""What a line is subscribed to, kept up with what is wanted."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast

from onesocket import ClientClosed, EncodeError, OnesocketError, OutboxFull
from onesocket.client.inside import Inside
from onesocket.sharing.line_keys import LineKeys
from onesocket.testing.virtual_time import run_virtual


class Topics:
    """One frame for each key."""

    def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"+{key}" for key in sorted(keys)]

    def unsubscribe_frames(self, keys: Iterable[str]) -> list[str]:
        return [f"-{key}" for key in sorted(keys)]


class Box:
    """The client's way out, with room for so many."""

    def __init__(self, room: int = 1_000) -> None:
        self.room = room
        self.sent: list[str] = []
        self.refusals: dict[str, OnesocketError] = {}

    def post(self, frame: str) -> None:
        if frame in self.refusals:
            raise self.refusals[frame]
        if len(self.sent) >= self.room:
            raise OutboxFull("no room")
        self.sent.append(frame)


def made(box: Box, again: Callable[[], None] = lambda: None) -> LineKeys:
    return LineKeys(cast("Any", Topics()), cast("Inside", box), again)


def keys(text: str) -> frozenset[str]:
    return frozenset(text)


def test_a_line_gets_differences_and_a_new_one_everything() -> None:
    box = Box()
    line = made(box)
    for wanted, epoch in (("ab", 1), ("bc", 1), ("bc", 1), ("bc", 2)):
        line.bring_to(keys(wanted), epoch)
    assert box.sent == ["+a", "+b", "-a", "+c", "+b", "+c"]


async def test_what_has_no_room_goes_when_there_is_some_and_nothing_goes_twice() -> None:
    box, wanted = Box(room=1), keys("ab")

    def again() -> None:
        line.bring_to(wanted, 1)

    line = made(box, again)
    again()
    wanted = keys("c")
    again()
    assert box.sent == ["+a"]
    box.room = 3
    line.room()
    assert box.sent == ["+a", "+b", "-a"]
    box.room = 9
    line.room()
    assert box.sent == ["+a", "+b", "-a", "-b", "+c"]
    line.room()
    again()
    assert len(box.sent) == 5
    line.stop()


async def test_it_never_keeps_more_frames_than_for_one_difference() -> None:
    box = Box(room=0)
    line = made(box)
    for _ in range(100):
        line.bring_to(keys("a"), 1)
        line.bring_to(keys(""), 1)
    assert "unsent=1>" in repr(line)
    line.stop()


async def test_what_had_no_room_on_the_last_line_is_no_matter_of_the_next() -> None:
    box = Box(room=0)
    line = made(box)
    line.bring_to(keys("a"), 1)
    box.room = 9
    line.bring_to(keys("b"), 2)
    assert box.sent == ["+b"]
    line.stop()


def test_it_looks_for_room_now_and_then_where_nobody_tells() -> None:
    async def main() -> None:
        box = Box(room=0)
        line = made(box, lambda: line.bring_to(keys("a"), 1))
        line.bring_to(keys("a"), 1)
        await asyncio.sleep(60)
        assert box.sent == []
        box.room = 1
        await asyncio.sleep(1)
        assert box.sent == ["+a"]

    run_virtual(main)


def test_stopped_it_looks_no_more() -> None:
    async def main() -> None:
        looked: list[bool] = []
        line = made(Box(room=0), lambda: looked.append(True))
        line.bring_to(keys("a"), 1)
        line.stop()
        await asyncio.sleep(60)
        line.room()
        assert looked == []

    run_virtual(main)


async def test_a_frame_that_cannot_be_sent_is_reported_and_its_neighbours_go() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    box = Box()
    box.refusals["+b"] = EncodeError("not UTF-8")
    line = made(box)
    line.bring_to(keys("abc"), 1)
    line.bring_to(keys("abc"), 1)
    assert box.sent == ["+a", "+c"]
    assert [context["exception"] for context in reported] == [box.refusals["+b"]]


def test_a_line_that_is_ending_gets_no_more_and_the_next_one_everything() -> None:
    box = Box()
    box.refusals["+b"] = ClientClosed()
    line = made(box)
    line.bring_to(keys("ab"), 1)
    assert box.sent == ["+a"]
    box.refusals.clear()
    line.bring_to(keys("ab"), 2)
    assert box.sent == ["+a", "+a", "+b"]


async def test_a_key_that_the_protocol_cannot_express_keeps_no_other_from_being_sent() -> None:
    class Strict(Topics):
        def subscribe_frames(self, keys: Iterable[str]) -> list[str]:
            if "x" in keys:
                raise TypeError("x")
            return super().subscribe_frames(keys)

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    box = Box()
    line = LineKeys(cast("Any", Strict()), cast("Inside", box), lambda: None)
    line.bring_to(keys("a"), 1)
    line.bring_to(keys("axb"), 1)
    line.bring_to(keys("xb"), 1)
    assert box.sent == ["+a", "+b", "-a"]
    assert len(reported) == 1
    line.bring_to(keys("xb"), 2)
    assert box.sent[3:] == ["+b"]
