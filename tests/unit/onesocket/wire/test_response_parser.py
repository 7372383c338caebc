"""The answer to an upgrade, read in pieces of any size: it never matters where they are cut."""

import random
import time

import pytest

from onesocket.errors import HandshakeRejected, InvalidHandshake, OnesocketError, ServerBusy
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
    whole, _ = read_in_pieces(ACCEPTED, [len(ACCEPTED)])
    assert isinstance(whole, AcceptedHandshake)
    assert ("upgrade", "websocket") in whole.headers
    for _ in range(300):
        early = EARLY * chance.randrange(3)
        data = early + ACCEPTED + b"\x81\x02hi\r\n\r\n"
        found, left = read_in_pieces(data, [chance.choice([1, 1, 2, 5, 60, 500]) for _ in data])
        assert isinstance(found, AcceptedHandshake)
        assert found.rest + left == b"\x81\x02hi\r\n\r\n"
        assert found.headers == whole.headers
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


# --- refusals ---------------------------------------------------------------------------------------------------------


def answered(data: bytes, url: str = "ws://h/") -> OnesocketError:
    parser = ResponseParser(DialRequest(url, secrets=("s3cret-t0ken",)), KEY)
    found = parser.feed(data) or parser.cut_off()
    assert isinstance(found, OnesocketError)
    return found


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("phrase", ["", " ", " Odd Phrase"])
def test_every_status_is_told_and_judged(version: str, phrase: str) -> None:
    for status in range(200, 1000):
        for body in (b"\r\n", b"Content-Length: 2\r\n\r\nno"):
            error = answered(f"HTTP/{version} {status}{phrase}\r\n".encode() + body)
            assert f"HTTP {status}" in str(error)
            if status == 429:
                assert isinstance(error, ServerBusy)
                continue
            assert isinstance(error, HandshakeRejected)
            assert error.status == status
            assert error.retryable == (status >= 500 or status in (408, 425))


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("phrase", ["", " ", " Odd Phrase"])
def test_every_interim_status_may_come_before_the_answer(version: str, phrase: str) -> None:
    for status in range(100, 200):
        interim = f"HTTP/{version} {status}{phrase}\r\nX: y\r\n\r\n".encode()
        found = ResponseParser(DialRequest("ws://h/"), KEY).feed(interim + ACCEPTED)
        if status == 101:
            assert isinstance(found, InvalidHandshake)
        else:
            assert isinstance(found, AcceptedHandshake)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://new.example/ws", "the target https://new.example/ws"),
        ("/elsewhere?a=1&b=2", "the target wss://h/elsewhere?a=***&b=***"),
        ("//other.example/", "the target wss://other.example/"),
        ("https://me:s3cret-t0ken@new.example/s3cret-t0ken", "the target https://new.example/***"),
        ("http://[broken", "the target <unreadable URL>"),
        ("/" + "x" * 9000, "x" * 100),
    ],
)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399])
def test_a_redirect_tells_its_target_without_secrets(status: int, location: str, told: str) -> None:
    error = answered(f"HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode(), "wss://h/a")
    assert isinstance(error, HandshakeRejected)
    assert told in str(error)
    assert error.location == location
    assert len(str(error)) < 500
    assert "s3cret" not in str(error)


def test_only_a_redirect_has_a_target() -> None:
    error = answered(b"HTTP/1.1 503\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(error, HandshakeRejected)
    assert error.location is None
    assert "target" not in str(error)


def test_a_body_that_cannot_be_read_is_not_shown() -> None:
    error = answered(b"HTTP/1.1 503\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nx\x1f\x8b")
    assert str(error) == "the server answered the upgrade with HTTP 503 Service Unavailable"


def test_the_excerpt_of_a_body_is_short_and_on_one_line() -> None:
    error = answered(b"HTTP/1.1 503\r\n\r\n" + b"\x1b[2Jno\r\nroom " * 1000)
    assert str(error).isprintable()
    assert str(error).endswith("…")
    assert len(str(error)) < 300


# --- limits -----------------------------------------------------------------------------------------------------------


def test_long_lines_and_many_headers_are_taken() -> None:
    more = b"".join(b"X-%d: y\r\n" % number for number in range(130)) + b"Set-Cookie: " + b"x" * 9216 + b"\r\n"
    found = ResponseParser(DialRequest("ws://h/"), KEY).feed(ACCEPTED.replace(b"Connection", more + b"Connection"))
    assert isinstance(found, AcceptedHandshake)
    assert len(found.headers) == 134
    error = answered(b"HTTP/1.1 503\r\n" + more + b"Retry-After: 4\r\n\r\nno room")
    assert str(error).endswith("no room (try again in 4 s)")


def test_a_header_folded_into_thousands_of_lines_is_read_in_linear_time() -> None:
    began = time.process_time()
    error = answered(b"HTTP/1.1 503\r\nRetry-After: 1\r\n" + b" 2\r\n" * 16_000 + b"\r\n")
    assert isinstance(error, HandshakeRejected)
    assert error.retry_after is None
    assert time.process_time() - began < 0.5  # it took 0.9 s when each line copied those before it


@pytest.mark.parametrize("line", [b" X: y", b"\tX: y"])
def test_the_status_line_is_not_folded(line: bytes) -> None:
    found = ResponseParser(DialRequest("ws://h/"), KEY).feed(ACCEPTED.replace(b"\r\n", b"\r\n" + line + b"\r\n", 1))
    assert isinstance(found, InvalidHandshake)


def test_the_limit_that_was_exceeded_is_named() -> None:
    assert "longer than 65536 bytes" in str(answered(ACCEPTED[:-2] + b"X: y\r\n" * 20_000))
    assert "longer than 65536 bytes" in str(answered(EARLY * 5_000))


def test_two_sub_protocols_are_refused_even_if_both_were_offered() -> None:
    for lines in (b"a\r\nSec-WebSocket-Protocol: b", b"a\r\nSec-WebSocket-Protocol: a"):
        answer = ACCEPTED[:-2] + b"Sec-WebSocket-Protocol: " + lines + b"\r\n\r\n"
        found = ResponseParser(DialRequest("ws://h/", subprotocols=("a", "b")), KEY).feed(answer)
        assert isinstance(found, InvalidHandshake)
        assert "2 sub-protocols instead of one" in str(found)
