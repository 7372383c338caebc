"""The parts of a hub that need no socket."""

import json
from typing import Any

import pytest

from onesocket.errors import InvalidOption
from onesocket.hub import Endpoint, HubOptions, Interest, JsonMerge, MergedRaw, load_merge
from onesocket.hub._access_policy import AccessPolicy
from onesocket.hub._counters import Meter
from onesocket.protocols._subscriptions import frames_of
from onesocket.transports._server_connection import encode_fragments, encode_message

LOCAL = Endpoint("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "parts", "shown", "private"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80, ""), "127.0.0.1:80", True),
        ("8730", ("127.0.0.1", 8730, ""), "127.0.0.1:8730", True),
        (":0", ("127.0.0.1", 0, ""), "127.0.0.1:0", True),
        ("[::1]:1", ("::1", 1, ""), "[::1]:1", True),
        ("localhost:1", ("localhost", 1, ""), "localhost:1", True),
        ("192.0.2.1:1", ("192.0.2.1", 1, ""), "192.0.2.1:1", False),
        ("hub.example:1", ("hub.example", 1, ""), "hub.example:1", False),
        ("unix:/a b", ("", 0, "/a b"), "unix:/a b", True),
    ],
)
def test_endpoints(text: str, parts: tuple[str, int, str], shown: str, private: bool) -> None:
    endpoint = Endpoint.parse(text, "--listen")
    assert (endpoint.host, endpoint.port, endpoint.path) == parts
    assert str(endpoint) == shown
    assert endpoint.is_private is private


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1:", "127.0.0.1:65536", "1:-1", "unix:", "unix:a\0b", "ws://h:1"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(InvalidOption, match="--listen"):
        Endpoint.parse(text, "--listen")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_clients": 0}, "max_clients"),
        ({"client_buffer": True}, "client_buffer"),
        ({"client_timeout": 0}, "client_timeout"),
        ({"close_timeout": 0}, "close_timeout"),
        ({"linger": -1}, "linger"),
        ({"on_loss": "cry"}, "on_loss"),
        ({"token": ""}, "local token is empty"),
        ({"allow_origins": ["example.org"]}, "'example.org' is the origin of no web page"),
        ({"allow_origins": ["*", "https://example.org/page"]}, "https://example.org/page"),
        ({"allow_origins": ["https://"]}, "origin of no web page"),
        ({"allow_origins": ["https://[::1"]}, "origin of no web page"),
        ({"token": "a\nb"}, "line breaks"),
        ({"listen": Endpoint("192.0.2.1", 1)}, "give a local token"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        HubOptions(**{"listen": LOCAL, **options})


@pytest.mark.parametrize("origin", ["https://Example.org/", "http://[::1]:8080", "chrome-extension://abc", "null", "*"])
def test_origins_that_pages_have(origin: str) -> None:
    assert HubOptions(listen=LOCAL, allow_origins=[origin]).allow_origins == {origin.lower().rstrip("/")}


def test_a_token_is_compared_whole() -> None:
    policy = AccessPolicy(HubOptions(listen=LOCAL, token="secret"))
    assert policy.is_valid_token("secret")
    assert not any(policy.is_valid_token(wrong) for wrong in ("", "secre", "secrets", "SECRET", "sécret", "\udcff"))
    assert AccessPolicy(HubOptions(listen=LOCAL)).is_valid_token("anything")


@pytest.mark.parametrize(
    ("data", "interest"),
    [
        ('{"op":"subscribe","args":["a",1,{"b":2,"a":1}]}', Interest(add=['"a"', "1", '{"a":1,"b":2}'])),
        (b'{"op":"unsubscribe","args":["a"]}', Interest(remove=['"a"'])),
        ('{"op":"subscribe","args":[]}', Interest(add=[])),
        ('{"op":"subscribe","args":"a"}', None),
        ('{"op":"other","args":["a"]}', None),
        ('{"op":["subscribe"],"args":["a"]}', None),
        ("[1]", None),
        ("{", None),
        (b"\xff", None),
        ("[" * 100_000, None),
    ],
)
def test_the_usual_shape_in_json(data: str | bytes, interest: Interest | None) -> None:
    assert JsonMerge().read(data) == interest


def test_another_shape_in_json() -> None:
    merge = JsonMerge(action="method", subscribe="SUB", unsubscribe="UNSUB", keys="params", key="arg.channel")
    assert merge.read('{"method":"SUB","params":["x"]}') == Interest(add=['"x"'])
    (frame,) = merge.subscribe(frozenset({'"x"', '{"a":1}'}))
    assert json.loads(frame) == {"method": "SUB", "params": ["x", {"a": 1}]}
    assert merge.key_of('{"arg":{"channel":"x"}}') == '"x"'
    assert merge.key_of('{"arg":"x"}') is None
    assert merge.key_of("no JSON") is None
    assert JsonMerge().key_of('{"arg":{"channel":"x"}}') is None
    declared = MergedRaw(merge).subscriptions
    assert declared is not None
    assert declared.unsubscribe is not None
    assert frames_of(MergedRaw(merge), declared.unsubscribe(['"x"'])) == ['{"method":"UNSUB","params":["x"]}']


@pytest.mark.parametrize("name", ["", "module", ":x", "module:", "no.such.module:x", "json:no_such_name", "json:loads"])
def test_what_can_not_be_a_merge(name: str) -> None:
    with pytest.raises(InvalidOption, match="--merge"):
        load_merge(name)


def test_a_merge_is_a_class_or_an_instance() -> None:
    assert isinstance(load_merge("onesocket.hub:JsonMerge"), JsonMerge)


def test_a_rate_is_that_of_the_last_complete_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("onesocket.hub._counters.time.monotonic", lambda: now)
    meter = Meter()
    meter.add(30)
    assert (meter.total, meter.per_second) == (30, 0.0)
    now = 101.5
    meter.add(10)
    assert meter.per_second == 3.0
    now = 102.0
    assert meter.per_second == 4.0
    now = 200.0
    assert (meter.total, meter.per_second) == (40, 0.0)


def test_frames_of_a_server() -> None:
    assert encode_message("é") == b"\x81\x02\xc3\xa9"
    assert encode_message(b"") == b"\x82\x00"
    assert encode_message(b"x" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert encode_message(b"x" * 65536)[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")
    assert encode_fragments("aéé", 4) == [b"\x01\x04a\xc3\xa9\xc3", b"\x80\x01\xa9"]
    assert encode_fragments(b"abc", 1) == [b"\x02\x01a", b"\x00\x01b", b"\x80\x01c"]
    assert encode_fragments(b"abc", 3) == [encode_message(b"abc")]
    assert encode_fragments("", 3) == [encode_message("")]
