"""The key: two requests with one key share a connection."""

from typing import Any

import pytest

from onesocket.errors import InvalidOption, InvalidURL
from onesocket.sharing._connection_key import ConnectionKey


class TokenSession:
    def token(self) -> str:
        return "s3cret"


def source() -> str:
    return "s3cret"


SESSION = TokenSession()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("wss://example.org", {}), ("wss://EXAMPLE.org:443/", {})),
        (("ws://example.org:80/a?b=c", {}), ("ws://example.org/a?b=c", {})),
        (("ws://[::1]:80/", {}), ("ws://[::1]/", {})),
        (("ws://h/", {"token": "a"}), ("ws://h/", {"token": "a"})),
        (("ws://h/", {"token": source}), ("ws://h/", {"token": source})),
        (("ws://h/", {"token": SESSION.token}), ("ws://h/", {"token": SESSION.token})),
        (("ws://h/", {"key": "k", "token": "a"}), ("ws://h/", {"key": "k", "token": source})),
    ],
)
def test_the_same(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> None:
    first, second = ConnectionKey.of(one[0], **one[1]), ConnectionKey.of(other[0], **other[1])
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ws://h/", {}), ("wss://h/", {})),
        (("ws://h/", {}), ("ws://h:81/", {})),
        (("ws://h/a", {}), ("ws://h/b", {})),
        (("ws://h/?a=1", {}), ("ws://h/?a=2", {})),
        (("ws://u:p@h/", {}), ("ws://u:q@h/", {})),
        (("ws://h/", {"token": "a"}), ("ws://h/", {"token": "b"})),
        (("ws://h/", {"token": "a"}), ("ws://h/", {})),
        (("ws://h/", {"key": "a"}), ("ws://h/", {"token": "a"})),
        (("ws://h/", {"token": SESSION.token}), ("ws://h/", {"token": TokenSession().token})),
        (("ws://h/", {"token": source}), ("ws://h/", {"token": lambda: "s3cret"})),
    ],
)
def test_others(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> None:
    assert ConnectionKey.of(one[0], **one[1]) != ConnectionKey.of(other[0], **other[1])


def test_it_shows_and_holds_no_secret() -> None:
    key = ConnectionKey.of("ws://u:p4ss@h/?q=s3cret", token="s3cret")
    assert "s3cret" not in repr(key) + str(key) + repr(key.identity)
    assert "p4ss" not in key.url + repr(key.identity)
    assert str(key) == "ws://h/?q=***"


def test_a_digest_is_for_what_other_processes_can_make_too() -> None:
    assert ConnectionKey.of("ws://h/", token="a").digest() == ConnectionKey.of("ws://H:80", token="a").digest()
    assert ConnectionKey.of("ws://h/", token="a").digest() != ConnectionKey.of("ws://h/", token="b").digest()
    assert ConnectionKey.of("ws://h/", token=source, key="me").crosses_processes
    with pytest.raises(InvalidOption, match="key="):
        ConnectionKey.of("ws://h/", token=source).digest()


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidURL):
        ConnectionKey.of("http://h/")
    for wrong in ("", 3):
        with pytest.raises(InvalidOption):
            ConnectionKey.of("ws://h/", key=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="not bytes"):
        ConnectionKey.of("ws://h/", token=b"s3cret")  # type: ignore[arg-type]
