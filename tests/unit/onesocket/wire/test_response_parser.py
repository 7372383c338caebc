"""The answer to an upgrade, read in pieces of any size: it never matters where they are cut."""

import random

from onesocket.errors import InvalidHandshake, OnesocketError
from onesocket.wire._handshake import DialRequest
from onesocket.wire._response_parser import AcceptedHandshake, ResponseParser

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: x, Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
REFUSED = (
    b"HTTP/1.1 503 Odd\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nno \r\n4\r\nroom\r\n0\r\n\r\n"
)


def read_in_pieces(data: bytes, sizes: list[int]) -> tuple[AcceptedHandshake | OnesocketError | None, bytes]:
    """Feed `data` in pieces of these sizes; return the result, and the bytes that were not fed any more."""
    answer = ResponseParser(DialRequest("ws://h/"), KEY)
    for size in sizes:
        found = answer.feed(data[:size])
        data = data[size:]
        if found is not None:
            return found, data
    return answer.cut_off(), data


def test_it_does_not_matter_where_it_is_cut() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)
    for _ in range(300):
        early = EARLY * chance.randrange(3)
        data = early + ACCEPTED + b"\x81\x02hi\r\n\r\n"
        found, left = read_in_pieces(data, [chance.choice([1, 1, 2, 5, 60, 500]) for _ in data])
        assert isinstance(found, AcceptedHandshake)
        assert found.rest + left == b"\x81\x02hi\r\n\r\n"
        assert b"Connection: Upgrade\r\n" in found.canonical()
        error, _ = read_in_pieces(early + REFUSED, [chance.choice([1, 1, 2, 5, 60, 500]) for _ in early + REFUSED])
        assert str(error).startswith("the server answered the upgrade with HTTP 503 Service Unavailable: no room")
        assert (getattr(error, "retryable", None), getattr(error, "retry_after", None)) == (True, 3.0)


def test_an_answer_with_one_byte_changed_is_accepted_or_a_typed_error() -> None:
    for place in range(len(ACCEPTED)):
        for byte in (0, 10, 13, 32, 44, 58, 88, 255):
            data = bytearray(ACCEPTED)
            data[place] = byte
            found, _ = read_in_pieces(bytes(data), [len(data)])
            assert isinstance(found, AcceptedHandshake | OnesocketError)
    wrong = ACCEPTED.replace(b"s3pP", b"S3pP")
    assert isinstance(read_in_pieces(wrong, [len(wrong)])[0], InvalidHandshake)


def test_a_length_that_python_cannot_read_is_no_length() -> None:
    endless = b"HTTP/1.1 503 x\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nno room"
    error, _ = read_in_pieces(endless, [len(endless)])
    assert str(error) == "the server answered the upgrade with HTTP 503 Service Unavailable: no room"
