"""Random bytes as input: every failure is a typed error."""

import asyncio
import contextlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onesocket import Client, Json, Msgpack, OnesocketError, Raw
from onesocket.errors import DecodeError, EncodeError
from onesocket.testing import Fault, FaultyServer
from tests.exceptions import error_type

DEADLINE = 10


@given(st.binary() | st.text())
@pytest.mark.parametrize("protocol", [Json(), Msgpack(), Raw()], ids=repr)
def test_decoders_raise_nothing_but_decode_error(protocol: Json | Msgpack | Raw, data: bytes | str) -> None:
    assert error_type(protocol.decode, data) in {None, DecodeError}


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(ANYTHING)
@pytest.mark.parametrize("protocol", [Json(), Msgpack(), Raw()], ids=repr)
def test_encoders_raise_nothing_but_encode_error(protocol: Json | Msgpack | Raw, message: Any) -> None:
    with contextlib.suppress(EncodeError):
        assert isinstance(protocol.encode(message), str | bytes)


def frames(chance: random.Random) -> bytes:
    """Frames that are mostly right, with something wrong here and there."""
    out = bytearray()
    for _ in range(chance.randrange(1, 12)):
        opcode = chance.choice([0, 0, 1, 1, 2, 8, 9, 10, chance.randrange(16)])
        fin = chance.choice([0x80, 0x80, 0])
        reserved = chance.choice([0, 0, 0, 0, 0, 0x40, 0x20, 0x10])
        payload = chance.choice([b"", b"text", "☃".encode(), b"\xff\xfe", bytes(chance.randrange(130)), b"\x03\xe8bye"])
        length = len(payload) if chance.random() < 0.95 else chance.randrange(127)
        out += bytes([fin | reserved | opcode])
        out += bytes([length]) if length < 126 else b"\x7e" + length.to_bytes(2, "big")
        out += payload
    if chance.random() < 0.1:
        out += chance.randbytes(chance.randrange(40))
    return bytes(out)


async def test_any_frames_end_in_messages_or_typed_errors(loop_errors: list[dict[str, Any]]) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    async with FaultyServer(close_timeout=0.2) as server:
        for _ in range(300):
            server.faults = Fault.raw(frames(chance))
            client = Client(server.url, max_size=1000, reconnect=None, close_timeout=0.2, ping_interval=None)
            stream = client.subscribe()
            async with asyncio.timeout(DEADLINE):
                await client.connect()
                kicker = asyncio.get_running_loop().call_later(0.01, server.kill_connections)
                with contextlib.suppress(OnesocketError):
                    async for message in stream:
                        assert isinstance(message, str | bytes)
                kicker.cancel()
                await client.aclose()
        counts = await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
    assert counts.most_open == 1
    assert loop_errors == []


async def test_any_answer_to_the_upgrade_ends_in_a_typed_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    good = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with FaultyServer(close_timeout=0.2) as server:
        for _ in range(200):
            answer = bytearray(good)
            for _ in range(chance.randrange(1, 6)):
                answer[chance.randrange(len(answer))] = chance.randrange(256)
            server.faults = Fault.garbage(chance.choice([bytes(answer), chance.randbytes(60), b"\r\n\r\n"]))
            client = Client(server.url, open_timeout=0.5, close_timeout=0.2)
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(OnesocketError):
                    await client.connect()
                await client.aclose()
        await server.wait_until(lambda counts: counts.sockets_now == 0, timeout=DEADLINE)
