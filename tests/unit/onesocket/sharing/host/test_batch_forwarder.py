"""Messages that an owner passes on: the first of a turn at once, the others together, and none is lost unnoticed."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from onesocket.sharing.host._batch_forwarder import BatchForwarder
from onesocket.testing import run_virtual


def test_the_first_batch_of_a_turn_goes_at_once_and_the_others_together_at_its_end() -> None:
    async def main() -> list[list[Any]]:
        forwarded: list[list[Any]] = []
        forwarder = BatchForwarder(None, forwarded.append, AssertionError)
        for number in range(5):
            forwarder.on_batch([str(number)])
        assert forwarded == [["0"]]
        await asyncio.sleep(0)
        assert forwarded == [["0"], ["1", "2", "3", "4"]]
        forwarder.on_batch(["5"])  # in the turn after: still together
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        forwarder.on_batch(["6"])
        return forwarded

    assert run_virtual(main)[2:] == [["5"], ["6"]]


def test_a_batch_that_fails_is_marked_and_the_next_turn_begins_anew() -> None:
    async def main() -> tuple[list[Any], int]:
        forwarded: list[Any] = []
        losses: list[None] = []

        def forward(batch: list[Any]) -> None:
            if "bad" in batch:
                raise MemoryError
            forwarded.append(batch)

        forwarder = BatchForwarder(None, forward, lambda: losses.append(None))
        with pytest.raises(MemoryError):
            forwarder.on_batch(["bad"])
        forwarder.on_batch(["x", "bad"])
        with pytest.raises(MemoryError):
            forwarder.flush()
        await asyncio.sleep(0)
        forwarder.on_batch(["y"])
        return forwarded, len(losses)

    assert run_virtual(main) == ([["y"]], 2)


def test_a_snapshot_notes_each_batch_as_it_comes() -> None:
    async def main() -> list[Any]:
        noted: list[Any] = []
        snapshot = cast("Any", SimpleNamespace(on_batch=noted.append))
        forwarder = BatchForwarder(snapshot, list, AssertionError)
        forwarder.on_batch(["a"])
        forwarder.on_batch(["b"])
        return noted

    assert run_virtual(main) == [["a"], ["b"]]
