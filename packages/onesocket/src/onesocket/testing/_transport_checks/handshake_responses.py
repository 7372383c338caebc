"""Responses to the upgrade request, as real servers and proxies write them: acceptances, refusals, and neither."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ...errors import ConnectionReset, HandshakeRejected, InvalidHandshake, OnesocketError, ServerBusy
from .._faults import Fault
from .._test_peer import PeerFeature
from .check import CheckContext, CheckFunction, CheckRegistry, expect, expect_equal

CHECKS: Final = CheckRegistry()
_SECRET: Final = "s3cr3t-t0ken"  # noqa: S105 - checks that no error shows it


def _head(name: str, *headers: tuple[str, str | None], status_line: str = "", interim: bytes = b"") -> Fault:
    return Fault.odd_head(name, status_line=status_line, headers=headers, interim=interim)


def _connection(*values: str) -> Fault:
    return _head(" and ".join(f"Connection: {value}" for value in values), *(("Connection", value) for value in values))


def _interim(*statuses: str) -> bytes:
    return b"".join(f"HTTP/1.1 {status}\r\nLink: </style.css>; rel=preload\r\n\r\n".encode() for status in statuses)


# --- acceptances ------------------------------------------------------------------------------------------------------


def _add_accepted(fault: Fault) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        context.peer.server.faults = [fault | Fault.burst(["with the head", "and more"])]
        checked = await context.open()
        checked.connection.send("sent")
        await context.peer.until(lambda: context.peer.received == ["sent"])
        context.peer.send("later")
        await checked.until(lambda: len(checked.messages) == 3)
        expect_equal(checked.messages, ["with the head", "and more", "later"], "the received messages")
        expect_equal(context.peer.dials, 1, "dials")
        checked.close()
        await checked.end()

    return body


_MANY_COOKIES: Final = [("Set-Cookie", f"shard{number}={'x' * 1000}; Path=/") for number in range(40)]
for _fault in (
    _connection("keep-alive, Upgrade"),
    _connection("upgrade,keep-alive"),
    _connection("keep-alive", "Upgrade"),
    _connection("close ,\tUPGRADE , x-custom"),
    _connection("upgrade, , "),
    _head("Upgrade: WebSocket", ("Upgrade", "WebSocket")),
    _head("no phrase", status_line="HTTP/1.1 101"),
    _head("an empty phrase", status_line="HTTP/1.1 101 "),
    _head("another phrase", status_line="HTTP/1.1 101 Web Socket Protocol Handshake"),
    _head("a phrase that is not ASCII", status_line="HTTP/1.1 101 Protokoll gewechselt \xfc"),
    _head("100 before it", interim=_interim("100 Continue")),
    _head(
        "100, 102 and 103 before it", interim=_interim("100", "102 Processing", "103 Early Hints", "103 Early Hints")
    ),
    _head("40 kB of cookies", *_MANY_COOKIES),
    _head("a header of 9 kB", ("Set-Cookie", "x" * 9216)),
    _head("130 headers", *((f"X-{number}", "y") for number in range(130))),
    _head("a header that is not ASCII", ("Server", "Größe")),
    _head("a folded header", ("Server", "one\r\n two")),
    _head("Content-Length: 0", ("Content-Length", "0")),
    Fault.in_pieces(1),
    Fault.in_pieces(7) | _connection("keep-alive", "Upgrade"),
    Fault.in_pieces(3) | _head("103 before it, in pieces", interim=_interim("103 Early Hints")),
):
    CHECKS.add_named(f"upgrade accepted: {_fault.label}", _add_accepted(_fault), PeerFeature.BYTES)


@CHECKS.add(PeerFeature.BYTES)
async def every_response_header_is_reported(context: CheckContext) -> None:
    context.peer.server.faults = [
        Fault.odd_head(headers=[("X-Shard", "7"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    ]
    checked = await context.open()
    headers = checked.handshake.headers if checked.handshake else ()
    reported = [(name, value) for name, value in headers if name in ("x-shard", "set-cookie")]
    expect_equal(reported, [("x-shard", "7"), ("set-cookie", "a=1"), ("set-cookie", "b=2")], "the headers")


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refused(
    fault: Fault, status: int, *, retryable: bool, shown: str = "", retry_after: float | None = None
) -> CheckFunction:
    kind: type[OnesocketError] = ServerBusy if status == 429 else HandshakeRejected

    async def body(context: CheckContext) -> None:
        context.peer.server.faults = [fault]
        checked = context.dial()
        error = await checked.end()
        expect_equal(type(error), kind, f"the error ({error})")
        expect_equal(getattr(error, "status", 429), status, "the status")
        expect(str(status) in str(error), f"the status is missing: {error}")
        expect(shown in str(error), f"the body is missing: {error}")
        expect_equal((error.retryable, error.retry_after), (retryable, retry_after), "whether and when to try again")
        expect_equal(checked.handshake, None, "the handshake")
        await context.wait_all_closed()
        await context.open()

    return body


def _add_refusals() -> None:
    for status in (408, 425, 500, 502, 503, 504, *range(520, 528), 529, 530, 599, 999):
        response = f"HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nerror".encode()
        name = f"upgrade refused: HTTP/1.1 {status}, no phrase"
        CHECKS.add_named(
            name, _refused(Fault.odd_answer(response), status, retryable=True, shown="error"), PeerFeature.BYTES
        )
    busy = b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    html = b"HTTP/1.1 520 Unknown Error\r\nServer: edge\r\nContent-Length: 99\r\n\r\n<html>"
    chunked = b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    refusals: dict[str, tuple[Fault, int, bool, str]] = {
        "HTTP/1.0 503": (Fault.odd_answer(b"HTTP/1.0 503 Service Unavailable\r\n\r\nbusy"), 503, True, "busy"),
        "HTTP/1.0 503, no phrase, no headers": (Fault.odd_answer(b"HTTP/1.0 503\r\n\r\n"), 503, True, ""),
        "HTTP/1.0 401": (Fault.odd_answer(b"HTTP/1.0 401 No\r\n\r\n"), 401, False, ""),
        "103, then 503": (Fault.odd_answer(_interim("103 Early Hints") + b"HTTP/1.1 503\r\n\r\n"), 503, True, ""),
        "lines end with LF alone": (Fault.odd_answer(b"HTTP/1.1 502 Bad\nServer: old\n\nbad"), 502, True, "bad"),
        "a header that is none": (
            Fault.odd_answer(b"HTTP/1.1 502 Bad Gateway\r\nno colon here\r\n\r\n"),
            502,
            True,
            "",
        ),
        "the head has no end": (Fault.odd_answer(b"HTTP/1.1 503 Unavailable\r\nServer: x\r\n"), 503, True, ""),
        "130 headers and a line of 9 kB": (
            Fault.odd_answer(b"HTTP/1.1 503 No\r\n" + b"X: y\r\n" * 130 + b"Y: " + b"x" * 9216 + b"\r\n\r\nlong"),
            503,
            True,
            "long",
        ),
        "a redirect": (
            Fault.odd_answer(b"HTTP/1.1 301 Moved\r\nLocation: /new?key=abcdef\r\n\r\n", keep_open=True),
            301,
            False,
            "/new?key=***",
        ),
        "304": (Fault.odd_answer(b"HTTP/1.1 304 Not Modified\r\n\r\n", keep_open=True), 304, False, "a cache"),
        "chunks of 1 MB": (
            Fault.odd_answer(chunked + (b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n") * 3, keep_open=True),
            503,
            True,
            "hello",
        ),
        "a head of 100 kB": (Fault.odd_answer(b"HTTP/1.1 503 No\r\n" + b"X: y\r\n" * 20_000), 503, True, ""),
        "in pieces": (Fault.odd_answer(b"HTTP/1.1 502\r\nServer: x\r\n\r\nbad") | Fault.in_pieces(1), 502, True, "bad"),
        "the body ends early": (Fault.odd_answer(html), 520, True, "<html>"),
        "chunks": (Fault.odd_answer(chunked + b"0\r\n\r\n"), 503, True, "503 Service Unavailable: hello"),
        "the connection stays open": (Fault.odd_answer(b"HTTP/1.1 403 No\r\n\r\n", keep_open=True), 403, False, ""),
        "the body never comes": (Fault.odd_answer(html, keep_open=True), 520, True, "<html>"),
        "chunks never end": (Fault.odd_answer(chunked, keep_open=True), 503, True, "hello"),
        "the body has no end": (Fault.odd_answer(html + b"x" * 1_000_000, keep_open=True), 520, True, "<html>"),
    }
    for name, (fault, status, retryable, shown) in refusals.items():
        body = _refused(fault, status, retryable=retryable, shown=shown)
        CHECKS.add_named(f"upgrade refused: {name}", body, PeerFeature.BYTES)
    wait = _refused(Fault.odd_answer(busy), 429, retryable=True, retry_after=7.0)
    CHECKS.add_named("upgrade refused: 429 with Retry-After", wait, PeerFeature.BYTES)


_add_refusals()


# --- invalid responses ------------------------------------------------------------------------------------------------


def _invalid(fault: Fault, said: str, kind: type[OnesocketError] = InvalidHandshake) -> CheckFunction:
    async def body(context: CheckContext) -> None:
        context.peer.server.faults = [fault]
        checked = context.dial(f"{context.peer.url}?key={_SECRET}", secrets=(_SECRET,))
        error = await checked.end()
        expect_equal(type(error), kind, f"the error ({error})")
        expect(said in str(error), f"it doesn't say {said!r}: {error}")
        shown = repr(error) + repr(error.__cause__) + repr(checked.connection) + checked.connection.phase
        expect(_SECRET not in shown, f"the secret is shown: {shown}")
        expect_equal((checked.handshake, len(checked.messages)), (None, 0), "the handshake, and the number of messages")
        await context.wait_all_closed()
        await context.open()

    return body


def _add_invalid(said: str, faults: Iterable[Fault], kind: type[OnesocketError] = InvalidHandshake) -> None:
    for fault in faults:
        CHECKS.add_named(
            f"upgrade invalid: {fault.label}", _invalid(fault | _EARLY_MESSAGE, said, kind), PeerFeature.BYTES
        )


_EARLY_MESSAGE: Final = Fault.burst(["no message of a connection that isn't open"])
_ACCEPT: Final = "Sec-WebSocket-Accept"
_ACCEPTED: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_add_invalid(
    "",
    (
        Fault.garbage(),
        *map(Fault.odd_answer, (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"x" * 100_000, _ACCEPTED)),
        Fault.wrong_accept(f"{_SECRET}="),
        Fault.unrequested_subprotocol(_SECRET),
        Fault.unrequested_extension(),
    ),
)
_cut_off = (Fault.truncated_upgrade(), Fault.truncated_upgrade(0), Fault.reset_during_upgrade())
_add_invalid("", _cut_off, ConnectionReset)
_add_invalid(
    "connection", (_head("no Connection", ("Connection", None)), _connection("close"), _connection("upgraded"))
)
_add_invalid(
    "upgrade",
    (
        _head("no Upgrade", ("Upgrade", None)),
        _head("Upgrade: h2c", ("Upgrade", "h2c")),
        # A request may name several, an answer names the one that it is (RFC 6455, section 4.1).
        _head("Upgrade: websocket, h2c", ("Upgrade", "websocket, h2c")),
        _head("Upgrade twice", ("Upgrade", "websocket"), ("Upgrade", "h2c")),
    ),
)
_add_invalid("accept", (_head("no Accept", (_ACCEPT, None)), _head("Accept twice", (_ACCEPT, "x"), (_ACCEPT, "y"))))
_add_invalid("content-length", (_head("a body", ("Content-Length", "5")),))
_add_invalid("transfer-encoding", (_head("a body in chunks", ("Transfer-Encoding", "chunked")),))
_add_invalid("malformed", (_head("a space in a header's name", ("X Y", "z")), _head("NUL", ("X-Nul", "a\0b"))))
_add_invalid("HTTP/1.1", (_head("HTTP/1.0 101", status_line="HTTP/1.0 101 Switching Protocols"),))
_add_invalid("sub-protocol", (_head("two sub-protocols", *[("Sec-WebSocket-Protocol", name) for name in ("a", "b")]),))
_add_invalid(
    "longer than",
    (
        _head("a head of 100 kB", *(("Set-Cookie", "x" * 1000) for _ in range(100))),
        _head("interim answers without end", interim=_interim(*["103 Early Hints"] * 2000)),
    ),
)
for _name, _data, _said in (
    ("a line that never ends", b"x" * 100, "not HTTP"),
    ("another protocol's greeting", b"220 mail.example ESMTP\r\n", "not HTTP"),
    ("a TLS alert", b"\x15\x03\x03\x00\x02\x02\x50", "speaks TLS"),
    ("no status", b"HTTP/1.1\r\n\r\n", "not HTTP"),
    ("a status of two digits", b"HTTP/1.1 99 Odd\r\n\r\n", "not HTTP"),
):
    _fault = Fault.odd_answer(_data, keep_open=True)
    CHECKS.add_named(f"upgrade invalid: {_name}", _invalid(_fault, _said), PeerFeature.BYTES)
_cut = Fault.odd_answer(_interim("103 Early Hints") + b"HTTP/1.1 10")
CHECKS.add_named(
    "upgrade cut off behind an interim answer", _invalid(_cut, "upgrade", ConnectionReset), PeerFeature.BYTES
)
