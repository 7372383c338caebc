"""URLs of Redis."""

import pytest

from onesocket.errors import InvalidURL
from onesocket.sharing.cluster._redis_address import RedisAddress
from onesocket.sharing.cluster._redis_coordinator import RedisCoordinator


@pytest.mark.parametrize(
    ("url", "address", "shown"),
    [
        ("redis://host", RedisAddress((("host", 6379),), sentinel_login={}, tls_files={}), "redis://host:6379"),
        (
            "redis://user:p%40ss@host:7000/3",
            RedisAddress(
                (("host", 7000),), database=3, username="user", password="p@ss", sentinel_login={}, tls_files={}
            ),
            "redis://host:7000",
        ),
        (
            "redis://:pass@[::1]?db=2",
            RedisAddress((("::1", 6379),), database=2, password="pass", sentinel_login={}, tls_files={}),
            "redis://[::1]:6379",
        ),
        (
            "rediss://host?ca=/etc/ca.pem&cert=/a.pem&key=/b.pem",
            RedisAddress(
                (("host", 6379),),
                secure=True,
                sentinel_login={},
                tls_files={"ssl_ca_certs": "/etc/ca.pem", "ssl_certfile": "/a.pem", "ssl_keyfile": "/b.pem"},
            ),
            "rediss://host:6379",
        ),
        (
            "unix://user:pass@/run/redis.sock?db=4",
            RedisAddress((), path="/run/redis.sock", database=4, username="user", password="pass"),
            "unix:///run/redis.sock",
        ),
        (
            "redis+sentinel://:pass@a,b:1,[::2]/mymaster/5",
            RedisAddress(
                (("a", 26379), ("b", 1), ("::2", 26379)),
                service="mymaster",
                database=5,
                password="pass",
                sentinel_login={},
                tls_files={},
            ),
            "redis+sentinel://a:26379,b:1,[::2]:26379/mymaster",
        ),
        (
            "redis+sentinel://a/m?db=1&sentinel_user=s&sentinel_password=pass",
            RedisAddress(
                (("a", 26379),),
                service="m",
                database=1,
                sentinel_login={"username": "s", "password": "pass"},
                tls_files={},
            ),
            "redis+sentinel://a:26379/m",
        ),
        (
            "rediss+sentinel://a/m",
            RedisAddress((("a", 26379),), secure=True, service="m", sentinel_login={}, tls_files={}),
            "rediss+sentinel://a:26379/m",
        ),
    ],
)
def test_each_kind_of_url_is_read_and_shown_without_its_login(url: str, address: RedisAddress, shown: str) -> None:
    parsed = RedisAddress.of(url)
    assert parsed == address
    assert str(parsed) == shown
    assert "pass" not in repr(parsed)


def test_the_place_of_an_engine_is_the_same_for_another_login_and_not_for_another_database() -> None:
    place = RedisCoordinator("redis://one:hunter2@host/1").place
    assert place == RedisCoordinator("redis://other:hunter3@host:6379/1").place
    assert place != RedisCoordinator("redis://one:hunter2@host/2").place
    assert "hunter2" not in place


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("rediss://host?key=/a.pem", "key without a cert"),
        ("http://host", "scheme"),
        ("host:6379", "scheme"),
        ("", "scheme"),
        ("redis://", "no host"),
        ("redis://secret@", "no host"),
        ("redis://ho st", "space"),
        ("redis://host:99999", "port"),
        ("redis://host:secret", "port"),
        ("redis://[::1", "host"),
        ("redis://a,b", "several hosts"),
        ("redis://host/secret", "database"),
        ("redis://host/-1", "database"),
        ("redis://host/0#secret", "fragment"),
        ("redis://host?ca=/a", "unknown option"),
        ("rediss://host?secret=1", "unknown option"),
        ("redis://host?sentinel_password=secret", "unknown option"),
        ("unix://", "path"),
        ("unix://host/path", "path"),
        ("unix:///path?db=x", "database"),
        ("redis+sentinel://a,b", "no service"),
        ("redis+sentinel://a,/m", "no host"),
    ],
)
def test_a_fault_is_named_without_the_secrets_of_the_url(url: str, fault: str) -> None:
    with pytest.raises(InvalidURL, match=fault) as caught:
        RedisAddress.of(url)
    assert "secret" not in str(caught.value)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidURL, match="bytes"):
        RedisAddress.of(b"redis://host")  # type: ignore[arg-type]
