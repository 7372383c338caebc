"""A message that can't be decoded: its error has it, for a reader that makes something of it, and no text shows it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from onesocket import Gap, Json, Msgpack, Raw
from onesocket.errors import DecodeError
from onesocket.protocols import Action, Deliver, Protocol, Ready
from onesocket.sharing.host._forwarding_protocol import decode_all
from onesocket.transports._memory import MemoryServer
from onesocket.wire._handshake import Data
from tests.unit.virtual_time import make_client, on_virtual_time

LIMIT = 65_536


class Picky(Raw):
    def decode(self, data: Data) -> Data:
        if data == "s3cret":
            raise DecodeError("not this one")
        return data

    def decoder(self) -> Callable[[Data], Data]:
        return self.decode


class PickySession(Protocol[Data]):
    """Without a decoder: all frames go through `received`."""

    name = "picky"

    def received(self, data: Data, now: float) -> Iterable[Action]:
        if data == "s3cret":
            raise DecodeError("not this one")
        return (Deliver(data),)

    def wake(self, now: float) -> Iterable[Action]:
        raise DecodeError("of no frame")

    def encode(self, message: Any) -> Data:
        return str(message)


CASES: list[tuple[Callable[[], Protocol], Data]] = [
    (Json, '{"key": "s3cret"'),
    (lambda: Json(type=int), '"s3cret"'),
    (lambda: Json(decode=int), "s3cret"),
    (Msgpack, "s3cret"),
    (lambda: Msgpack(type=int), b"\xa6s3cret"),
    (Picky, "s3cret"),
    (PickySession, "s3cret"),
]


@pytest.mark.parametrize(("make", "frame"), CASES)
def test_the_error_of_the_gap_has_the_message_and_no_text_shows_it(
    make: Callable[[], Protocol], frame: Data, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    @on_virtual_time
    async def scenario() -> None:
        server = MemoryServer()
        client = make_client(server, protocol=make())
        stream = client.subscribe()
        await client.connect()
        server.peers[0].send(frame)
        gap = await anext(stream)
        assert isinstance(gap, Gap)
        assert isinstance(gap.error, DecodeError)
        assert gap.error.data == frame
        texts = [str(gap), repr(gap), str(gap.error), repr(gap.error), repr(client), repr(client.status), caplog.text]
        assert "s3cret" not in "".join(texts)
        await client.aclose()

    scenario()


@pytest.mark.parametrize("data", ["x" * (LIMIT + 1), b"x" * (LIMIT + 1)])
def test_of_a_long_message_the_beginning_is_kept(data: Data) -> None:
    (error,) = decode_all(Json().decode, [data])
    assert isinstance(error, DecodeError)
    assert error.data == data[:LIMIT]
    assert f"a message of {LIMIT + 1} " in str(error)


def test_copies_have_it_and_the_first_one_is_kept() -> None:
    error = DecodeError("odd").with_data("part").with_data("whole frame")
    assert error.data == "part"
    for twin in (error.copy(), copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert (str(twin), twin.data) == ("odd", "part")
    assert DecodeError("odd").data is None


def test_a_decode_error_of_no_frame_has_no_data() -> None:
    class Waking(PickySession):
        def opened(self, token: str | None, now: float) -> Iterable[Action]:
            yield Ready()
            raise DecodeError("of no frame")

    @on_virtual_time
    async def scenario() -> None:
        client = make_client(MemoryServer(), protocol=Waking())
        stream = client.subscribe()
        await client.connect()
        gap = await anext(stream)
        assert isinstance(gap, Gap)
        assert isinstance(gap.error, DecodeError)
        assert gap.error.data is None
        await client.aclose()

    scenario()
