"""The inflater against a sender of every habit that RFC 7692 allows, and against bytes that no sender makes."""

import random
import zlib

import pytest
from websockets.exceptions import PayloadTooBig, ProtocolError

from onesocket.transports._deflate import Inflater

WORDS = [b"price", b"symbol", b"ABC", b'{"a":', b"}", b"0123456789" * 7, bytes(range(256))]


class DeflateSender:
    """Compresses messages one after the other; `context` is what it may still refer to."""

    def __init__(self, bits: int, *, takeover: bool, chance: random.Random) -> None:
        self._bits = bits
        self._takeover = takeover
        self._chance = chance
        self._window = b""
        self._stream = self._begin()

    def _begin(self) -> "zlib._Compress":
        # With a dictionary it goes on referring to what came before its final block.
        window = self._window[-(1 << self._bits) + 262 :] if self._chance.random() < 0.5 else b""
        if window:
            return zlib.compressobj(wbits=-self._bits, zdict=window)
        return zlib.compressobj(wbits=-self._bits)

    def pack(self, message: bytes) -> bytes:
        if not self._takeover:
            self._window = b""
            self._stream = self._begin()
        payload = b""
        parts = self._chance.randrange(1, 4)
        for part in range(parts):
            piece = message[len(message) * part // parts : len(message) * (part + 1) // parts]
            payload += self._stream.compress(piece)
            self._window += piece
            if self._chance.random() < 0.4:
                payload += self._stream.flush(zlib.Z_FINISH)
                self._stream = self._begin()
                if part == parts - 1:
                    return payload + self._chance.choice([b"\x00", b""])
            elif part < parts - 1 and self._chance.random() < 0.5:
                payload += self._stream.flush(zlib.Z_FULL_FLUSH)
        payload += self._stream.flush(zlib.Z_SYNC_FLUSH)
        assert payload.endswith(b"\x00\x00\xff\xff")
        return payload[:-4]


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(4)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def inflate(inflater: Inflater, parts: list[bytes], limit: int | None = None) -> bytes:
    inflater.begin()
    found = b""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        found += inflater.add(part, last=last, limit=None if limit is None else limit - len(found))
    return found


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 15])
def test_what_was_sent_is_what_comes(bits: int, *, takeover: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    for _ in range(60):
        sender = DeflateSender(bits, takeover=takeover, chance=chance)
        inflater = Inflater(bits, context_takeover=takeover)
        for _ in range(20):
            message = b"".join(chance.choices(WORDS, k=chance.choice([0, 1, 5, 2000])))
            limit = chance.choice([None, len(message), len(message) + 1])
            assert inflate(inflater, pieces(sender.pack(message), chance), limit) == message


def test_a_message_that_is_cut_off_anywhere_is_never_told() -> None:
    message = b"".join(random.Random(3).choices(WORDS, k=300))
    packed = DeflateSender(15, takeover=True, chance=random.Random(3)).pack(message)
    whole = {len(packed)}
    for size in range(1, len(packed)):
        inflater = Inflater(15, context_takeover=True)
        try:
            found = inflate(inflater, [packed[:size]])
        except ProtocolError:
            continue
        # It ended between two blocks, and so may be all there is: what there is of it is right.
        whole.add(size)
        assert message.startswith(found)
    assert len(whole) < 12


def test_any_bytes_end_in_a_message_or_in_an_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - as above
    chance = random.Random(seed)
    for _ in range(2000):
        inflater = Inflater(15, context_takeover=True)
        for _ in range(3):
            data = bytearray(zlib.compress(chance.randbytes(20) * 3)[2:-4])
            data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                assert len(inflate(inflater, pieces(bytes(data), chance), 100)) <= 100
            except (ProtocolError, PayloadTooBig):
                break


@pytest.mark.parametrize("final", [True, False])
def test_a_bomb_is_noticed_at_the_limit(*, final: bool) -> None:
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FINISH if final else zlib.Z_SYNC_FLUSH)
    inflater = Inflater(15, context_takeover=True)
    inflater.begin()
    with pytest.raises(PayloadTooBig):
        inflater.add(bomb, last=True, limit=1000)
