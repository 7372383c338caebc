"""What makes two requests mean the same connection."""

from typing import Any

import pytest

from onesocket import InvalidOption, InvalidURL
from onesocket.sharing.key import Key


class Session:
    def token(self) -> str:
        return "s3cret"


def source() -> str:
    return "s3cret"


SESSION = Session()


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
    first, second = Key.of(one[0], **one[1]), Key.of(other[0], **other[1])
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
        (("ws://h/", {"token": SESSION.token}), ("ws://h/", {"token": Session().token})),
        (("ws://h/", {"token": source}), ("ws://h/", {"token": lambda: "s3cret"})),
    ],
)
def test_others(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]) -> None:
    assert Key.of(one[0], **one[1]) != Key.of(other[0], **other[1])


def test_it_shows_and_holds_no_secret() -> None:
    key = Key.of("ws://u:p4ss@h/?q=s3cret", token="s3cret")
    assert "s3cret" not in repr(key) + str(key) + repr(key.identity)
    assert "p4ss" not in key.url + repr(key.identity)
    assert str(key) == "ws://h/?q=***"


def test_a_digest_is_for_what_other_processes_can_make_too() -> None:
    assert Key.of("ws://h/", token="a").digest() == Key.of("ws://H:80", token="a").digest()
    assert Key.of("ws://h/", token="a").digest() != Key.of("ws://h/", token="b").digest()
    assert Key.of("ws://h/", token=source, key="me").crosses_processes
    with pytest.raises(InvalidOption, match="key="):
        Key.of("ws://h/", token=source).digest()


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidURL):
        Key.of("http://h/")
    for wrong in ("", 3):
        with pytest.raises(InvalidOption):
            Key.of("ws://h/", key=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="not bytes"):
        Key.of("ws://h/", token=b"s3cret")  # type: ignore[arg-type]
