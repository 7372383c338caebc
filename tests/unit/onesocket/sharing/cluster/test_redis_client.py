"""A failed command of a Redis client reads the PEM files only where they may be its cause."""

from typing import Any

import pytest
from redis import exceptions as failures

from onesocket.errors import EngineFull, EngineLoginRefused, EngineUnavailable
from onesocket.sharing.cluster import _redis_client
from onesocket.sharing.cluster._redis_address import RedisAddress
from onesocket.sharing.cluster._redis_client import RedisClient

AWAY = failures.ConnectionError("Error 111 connecting to host:6379.")
FULL = failures.OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")


def failing(url: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> RedisClient:
    client = RedisClient(RedisAddress.of(url), "onesocket", 1.0)

    async def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(client._redis, "execute_command", fail)
    return client


@pytest.mark.parametrize(
    ("url", "error", "kind"),
    [
        ("rediss://host", AWAY, EngineUnavailable),
        ("rediss://host", FULL, EngineFull),
        ("rediss://host?ca=/gone/ca.pem", FULL, EngineFull),
    ],
)
async def test_a_failed_command_reads_no_certificates_that_can_not_be_its_cause(
    url: str, error: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("this takes the event loop's time, again with each attempt")

    monkeypatch.setattr(_redis_client, "tls_context", read)
    client = failing(url, error, monkeypatch)
    with pytest.raises(kind):
        await client.run("SET", "onesocket:key", "1")
    await client.aclose()


async def test_a_connection_that_fails_for_want_of_a_file_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    client = failing("rediss://host?ca=/gone/ca.pem", AWAY, monkeypatch)
    with pytest.raises(EngineLoginRefused, match=r"\(ca\) can't be used: No such file"):
        await client.run("SET", "onesocket:key", "1")
    await client.aclose()
