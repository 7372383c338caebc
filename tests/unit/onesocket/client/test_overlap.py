"""The messages of a connection and its successor, merged."""

import itertools
from typing import Any

import pytest

from onesocket.client._overlap import Overlap


class Delivered:
    """Remembers what is delivered."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def publish(self, message: Any) -> None:
        self.messages.append(message)

    def publish_many(self, batch: list[Any]) -> None:
        self.messages += batch


def interleavings(first: str, second: str) -> list[list[tuple[int, str]]]:
    """All orders in which both connections may bring their messages."""
    count = len(first) + len(second)
    orders: list[list[tuple[int, str]]] = []
    for places in itertools.combinations(range(count), len(first)):
        sources = iter(first), iter(second)
        sides = [0 if place in places else 1 for place in range(count)]
        orders.append([(side, next(sources[side])) for side in sides])
    return orders


@pytest.mark.parametrize("messages", ["abc", "aab", "abbb", "aabb"])
@pytest.mark.parametrize("switch_at", range(8))
def test_a_message_that_the_service_repeats_on_both_connections_comes_as_often_as_on_one(
    messages: str, switch_at: int
) -> None:
    for order in interleavings(messages, messages):
        reader = Delivered()
        overlap = Overlap(reader, lambda message: message, lambda *_: None)
        for place, (side, message) in enumerate(order):
            if place == switch_at:
                overlap.switch()
            (overlap.old, overlap.new)[side].publish(message)
        if switch_at >= len(order):
            overlap.switch()
        assert "".join(reader.messages) == messages, order
        assert not overlap.late


def test_what_was_repeated_on_an_earlier_connection_is_late_that_often() -> None:
    reader = Delivered()
    first = Overlap(reader, lambda message: message, lambda *_: None)
    first.switch()
    first.old.publish_many(["a", "a", "b"])
    second = Overlap(reader, lambda message: message, lambda *_: None, first.late)
    second.old.publish_many(["a", "b", "a", "c"])
    assert "".join(reader.messages) == "aabc"
