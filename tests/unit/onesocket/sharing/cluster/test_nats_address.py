"""URLs of NATS."""

import pytest

from onesocket.errors import InvalidURL
from onesocket.sharing.cluster import NatsCoordinator
from onesocket.sharing.cluster._nats_address import NatsAddress


@pytest.mark.parametrize(
    ("url", "address", "shown"),
    [
        ("nats://host", NatsAddress((("host", 4222),), tls_files={}), "nats://host:4222"),
        (
            "nats://user:p%40ss@host:7000",
            NatsAddress((("host", 7000),), username="user", password="p@ss", tls_files={}),
            "nats://host:7000",
        ),
        (
            "nats://pass%3A@a,[::1]:1/",
            NatsAddress((("a", 4222), ("::1", 1)), token="pass:", tls_files={}),
            "nats://a:4222,[::1]:1",
        ),
        (
            "nats://host?replicas=3",
            NatsAddress((("host", 4222),), tls_files={}, replicas=3),
            "nats://host:4222",
        ),
        (
            "tls://user:@host?ca=/ca.pem&cert=/a.pem&key=/b.pem",
            NatsAddress(
                (("host", 4222),),
                secure=True,
                username="user",
                password="",
                tls_files={"ca": "/ca.pem", "cert": "/a.pem", "key": "/b.pem"},
            ),
            "tls://host:4222",
        ),
    ],
)
def test_each_kind_of_url_is_read_and_shown_without_its_login(url: str, address: NatsAddress, shown: str) -> None:
    parsed = NatsAddress.of(url)
    assert parsed == address
    assert str(parsed) == shown
    assert "pass" not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis://hunter2@host", "its scheme is none of nats, tls"),
        ("hunter2@host", "its scheme is none of"),
        ("nats://", "it has no host"),
        ("nats://a:hunter2@host:port", "a host or its port can't be read"),
        ("nats://a:hunter2@host:99999", "a host or its port can't be read"),
        ("nats://[::1", "its host can't be read"),
        ("nats://a:hunter2@host,", "it has no host"),
        ("nats://a:hunter2@host/path", "it has a path"),
        ("nats://:hunter2@host", "it has a password without a user name"),
        ("nats://a:hunter2#@host", "it has a fragment"),
        ("nats://a:hunter 2@host", "it has a space or a control character"),
        ("nats://a:hunter2@host?ca=/x", "an option that only tls:// can have"),
        ("tls://a:hunter2@host?password=x", "it has an unknown option; known are replicas, ca, cert, key"),
        ("nats://a:hunter2@host?replicas=6", "its replicas are not a whole number from 1 to 5"),
        ("nats://a:hunter2@host?replicas=³", "its replicas are not a whole number from 1 to 5"),
        ("tls://a:hunter2@host?key=/x", "it has a key without a cert"),
    ],
)
def test_a_fault_is_named_without_the_login(url: str, fault: str) -> None:
    with pytest.raises(InvalidURL) as caught:
        NatsAddress.of(url)
    assert fault in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_the_place_of_an_engine_is_the_same_for_another_password_and_not_for_another_user() -> None:
    """Whose account may be another, with other streams: two processes of a host would be members of two clusters."""
    place = NatsCoordinator("nats://one:hunter2@host").place
    assert place == NatsCoordinator("nats://one:hunter3@host:4222?replicas=3").place
    assert place != NatsCoordinator("nats://other:hunter2@host").place
    assert place != NatsCoordinator("nats://host").place
    assert NatsCoordinator("nats://hunter2@host").place == NatsCoordinator("nats://hunter3@host").place
    assert "hunter2" not in place


def test_something_else_than_a_text_is_refused() -> None:
    with pytest.raises(InvalidURL, match="must be a str"):
        NatsAddress.of(b"nats://host")  # type: ignore[arg-type]
