"""The requests that a server accepts, and the status that each kind of invalid request is answered with."""

from collections.abc import Iterable

import h11
import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from onesocket.wire._http_response import HttpResponse, switching_protocols
from onesocket.wire._request_parser import MAX_HEAD, MAX_HEADERS, HttpRequest, RequestParser

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
LINE = "GET /chat?token=s3cret HTTP/1.1"
UPGRADE = {
    "Host": "localhost:8080",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def request(line: str = LINE, headers: dict[str, str] | None = None, *extra: str, without: Iterable[str] = ()) -> bytes:
    fields = {name: value for name, value in {**UPGRADE, **(headers or {})}.items() if name not in without}
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in fields.items()), *extra, "", ""]).encode()


def parse(data: bytes) -> HttpRequest | HttpResponse | None:
    """Parse at once and byte by byte, which makes no difference."""
    whole = RequestParser().feed(data)
    parser, found = RequestParser(), None
    for number in range(len(data)):
        found = parser.feed(data[number : number + 1])
        if found is not None:
            break
    assert type(found) is type(whole)
    if isinstance(found, HttpRequest) and isinstance(whole, HttpRequest):
        assert (found.target, found.key) == (whole.target, whole.key)
    if isinstance(found, HttpResponse) and isinstance(whole, HttpResponse):
        assert found.status == whole.status
    return whole


def accepted(data: bytes) -> HttpRequest:
    found = parse(data)
    assert isinstance(found, HttpRequest), found
    return found


@pytest.mark.parametrize(
    ("headers", "extra"),
    [
        ({}, []),
        ({"Connection": "keep-alive, Upgrade"}, []),
        ({"Connection": "UPGRADE", "Upgrade": "WebSocket"}, []),
        ({"Connection": "keep-alive"}, ["connection: upgrade"]),
        ({"Upgrade": "h2c, websocket"}, []),
        ({"Upgrade": "h2c"}, ["Upgrade: websocket"]),
        ({"Connection": "keep-alive,"}, ["\tUpgrade"]),  # folded (RFC 9112, section 5.2)
        ({"Content-Length": "0"}, []),
        ({"Connection": " ,, Upgrade"}, []),
    ],
)
def test_an_upgrade_is_taken_in_every_valid_form(headers: dict[str, str], extra: list[str]) -> None:
    if extra and extra[0].startswith("\t"):
        data = request(LINE, None, "Connection: keep-alive,", *extra, without=["Connection"])
    else:
        data = request(LINE, headers, *extra)
    found = accepted(data)
    assert found.is_upgrade
    assert found.key == KEY
    assert (found.target, found.path, found.query) == ("/chat?token=s3cret", "/chat", {"token": "s3cret"})


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"}])
def test_a_request_without_websocket_in_upgrade_is_a_plain_one(headers: dict[str, str]) -> None:
    fields = [f"{name}: {value}" for name, value in headers.items()]
    found = accepted("\r\n".join(["GET /metrics HTTP/1.1", "Host: a", *fields, "", ""]).encode())
    assert (found.is_upgrade, found.path) == (False, "/metrics")


def test_a_plain_request_may_be_of_http_1_0() -> None:
    assert accepted(b"GET /metrics HTTP/1.0\r\n\r\n").path == "/metrics"


@pytest.mark.parametrize(
    ("target", "host", "wanted"),
    [
        ("http://example.org/a?b=c", "example.org", "/a?b=c"),
        ("ws://example.org:80/a", "example.org:80", "/a"),
        ("HTTP://example.org", "example.org", "/"),
        ("http://example.org?b", "example.org", "/?b"),
    ],
)
def test_the_host_of_an_absolute_target_replaces_the_header(target: str, host: str, wanted: str) -> None:
    found = accepted(request(f"GET {target} HTTP/1.1", {"Host": "localhost"}))
    assert found.headers.getall("Host") == [host]
    assert found.target == wanted


def test_headers_have_names_in_any_case_and_several_values() -> None:
    headers = accepted(request(LINE, {"X-One": "1"}, "x-one: 2")).headers
    assert (headers.get("x-ONE"), headers.getall("X-one"), "X-One" in headers) == ("1", ["1", "2"], True)
    assert (headers.get("X-Two"), headers.get("X-Two", "none"), headers.getall("X-Two")) == (None, "none", [])


def test_a_repr_shows_no_secret() -> None:
    found = accepted(request(LINE, {"Authorization": "Bearer s3cret"}))
    assert "s3cret" not in repr(found)
    assert "authorization" in repr(found)


def test_the_bytes_after_the_request_are_kept() -> None:
    parser = RequestParser()
    assert isinstance(parser.feed(request() + b"\x81\x80abcd"), HttpRequest)
    assert parser.rest == b"\x81\x80abcd"


@pytest.mark.parametrize(
    ("status", "text", "data"),
    [
        (400, "Key", request(without=["Sec-WebSocket-Key"])),
        (400, "Key", request(LINE, None, f"Sec-WebSocket-Key: {KEY}")),
        (400, "Key", request(LINE, {"Sec-WebSocket-Key": "short"})),
        (400, "Key", request(LINE, {"Sec-WebSocket-Key": "AAAA"})),
        (400, "Key", request(LINE, {"Sec-WebSocket-Key": KEY[:-2] + "\xe9="})),
        (400, "Connection", request(without=["Connection"])),
        (400, "Connection", request(LINE, {"Connection": "keep-alive, Upgraded"})),
        (400, "neither a path nor a URL", request("GET * HTTP/1.1")),
        (400, "neither a path nor a URL", request("GET example.org:80 HTTP/1.1")),
        (400, "neither a path nor a URL", request("GET ftp://example.org/ HTTP/1.1")),
        (400, "Host", request(without=["Host"])),
        (400, "Host", request(LINE, None, "Host: b")),
        (400, "both", request("POST / HTTP/1.1", {"Content-Length": "5", "Transfer-Encoding": "chunked"})),
        (400, "both", request(LINE, {"Content-Length": "0", "Transfer-Encoding": "chunked"})),
        (400, "Content-Length", request(LINE, {"Content-Length": "5"}, "Content-Length: 6")),
        (400, "Content-Length", request(LINE, {"Content-Length": "+5"})),
        (400, "malformed", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),  # TLS
        (400, "malformed", b"GET /\r\n\r\n"),
        (400, "malformed", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "malformed", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
        (400, "malformed", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        (400, "malformed", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
        (400, "malformed", b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
        (400, "malformed", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n"),
        (400, "malformed", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
        (405, "GET", request("POST /chat HTTP/1.1")),
        (405, "GET", request("HEAD /chat HTTP/1.1")),
        (405, "GET", request("CONNECT a:80 HTTP/1.1")),
        (405, "GET", request("OPTIONS * HTTP/1.1")),
        (413, "body", request(LINE, {"Content-Length": "5"}) + b"hello"),
        (413, "body", request("POST / HTTP/1.1", {"Content-Length": "0005"}) + b"hello"),
        (413, "body", request(LINE, {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\n\r\n"),
        (426, "must be 13", request(LINE, {"Sec-WebSocket-Version": "8"})),
        (426, "must be 13", request(LINE, {"Sec-WebSocket-Version": "13, 8"})),
        (426, "must be 13", request(LINE, None, "Sec-WebSocket-Version: 13")),
        (426, "must be 13", request(without=["Sec-WebSocket-Version"])),
        (431, f"{MAX_HEAD} bytes", request(LINE, {"Cookie": "c" * MAX_HEAD})),
        (431, f"{MAX_HEAD} bytes", request(f"GET /{'p' * MAX_HEAD} HTTP/1.1")),
        (431, f"at most {MAX_HEADERS}", request(LINE, None, *["X: y"] * MAX_HEADERS)),
        (501, "Transfer-Encoding", request(LINE, {"Transfer-Encoding": "gzip"})),
        (505, "HTTP/1.0", request("GET /chat HTTP/1.0")),
        (505, "HTTP/2.0", request("GET /chat HTTP/2.0")),
    ],
)
def test_an_invalid_request_is_refused(status: int, text: str, data: bytes) -> None:
    found = parse(data)
    assert isinstance(found, HttpResponse)
    assert found.status == status
    assert text in found.body.decode()
    if status == 405:
        assert found.headers["Allow"] == "GET"
    if status == 426:
        assert found.headers["Sec-WebSocket-Version"] == "13"
        assert found.headers["Upgrade"] == "websocket"


def test_a_request_that_never_ends_is_refused_at_the_limit() -> None:
    parser = RequestParser()
    assert parser.feed(b"GET / HTTP/1.1\r\n") is None
    for _ in range(MAX_HEAD // 1000):
        assert parser.feed(b"X: " + b"y" * 995 + b"\r\n") is None
    found = parser.feed(b"X: " + b"y" * 995 + b"\r\n")
    assert isinstance(found, HttpResponse)
    assert found.status == 431


def test_websockets_accepts_the_answers() -> None:
    client = ClientProtocol(parse_uri("ws://localhost/path"), subprotocols=None)
    client.send_request(client.connect())
    [data] = client.data_to_send()
    found = accepted(data)
    assert found.key is not None
    client.receive_data(switching_protocols(found.key))
    assert client.handshake_exc is None
    assert client.state.name == "OPEN"


@pytest.mark.parametrize("status", [200, 503, 529, 999])
def test_h11_reads_responses(status: int) -> None:
    response = HttpResponse.text(status, "busy: ☃", {"Retry-After": "5"})
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response.encode())
    head, data, end = client.next_event(), client.next_event(), client.next_event()
    assert isinstance(head, h11.Response)
    assert isinstance(data, h11.Data)
    assert isinstance(end, h11.EndOfMessage)
    assert head.status_code == status
    assert bytes(data.data) == "busy: ☃".encode()
    assert dict(head.headers)[b"retry-after"] == b"5"
    assert client.their_state is h11.MUST_CLOSE


def test_the_answer_to_head_has_no_body() -> None:
    parser = RequestParser()
    found = parser.feed(request("HEAD / HTTP/1.1"))
    assert isinstance(found, HttpResponse)
    assert parser.is_head
    assert found.encode(with_body=False).endswith(b"\r\n\r\n")
