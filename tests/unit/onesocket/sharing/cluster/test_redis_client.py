"""A failed command of a Redis client reads the PEM files only where they may be its cause."""

from typing import Any

import pytest
from redis import exceptions as failures
from redis.asyncio.sentinel import MasterNotFoundError

from onesocket.errors import EngineFull, EngineLoginRefused, EngineUnavailable, OnesocketError
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


@pytest.mark.parametrize(
    ("url", "error", "remedy"),
    [
        ("redis://host", failures.ConnectionError("Connection lost."), "; if that port speaks TLS, write rediss://"),
        ("redis://host", failures.ConnectionError("Connection closed by server."), "TLS, write rediss://"),
        ("rediss://host", failures.ConnectionError("Connection reset by peer."), "not speak TLS, write redis://"),
        ("rediss://host", TimeoutError(), "not speak TLS, write redis://"),
        ("redis+sentinel://host/name", MasterNotFoundError("Connection lost."), "TLS, write rediss+sentinel://"),
    ],
)
async def test_a_server_that_never_answered_may_speak_tls_where_the_url_does_not(
    url: str, error: Exception, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = failing(url, error, monkeypatch)
    with pytest.raises(EngineUnavailable) as caught:
        await client.run("INFO")
    assert str(caught.value).endswith(remedy)

    async def answer(*_: object) -> Any:
        return b"PONG"

    with monkeypatch.context() as patch:
        patch.setattr(client._redis, "execute_command", answer)
        await client.run("PING")
    with pytest.raises(EngineUnavailable) as caught:
        await client.run("INFO")
    assert "TLS" not in str(caught.value)
    await client.aclose()


@pytest.mark.parametrize(
    ("url", "error"), [("redis://host", TimeoutError()), ("redis://host", AWAY), ("rediss://host", AWAY)]
)
async def test_a_server_that_is_away_is_not_said_to_speak_tls(
    url: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = failing(url, error, monkeypatch)
    with pytest.raises(EngineUnavailable) as caught:
        await client.run("INFO")
    assert "TLS" not in str(caught.value)
    await client.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        failures.BusyLoadingError("Redis is loading the dataset in memory"),
        failures.AuthenticationError("invalid username-password pair"),
        failures.NoScriptError("NOSCRIPT No matching script."),
        failures.ResponseError("unknown command"),
    ],
    ids=lambda answer: type(answer).__name__,
)
async def test_a_server_that_answered_with_an_error_is_not_said_to_speak_tls(
    answer: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = failing("redis://host", failures.ConnectionError("Connection reset by peer"), monkeypatch)

    async def fail(*_: object) -> Any:
        raise answer

    with monkeypatch.context() as patch:
        patch.setattr(client._redis, "execute_command", fail)
        with pytest.raises((OnesocketError, failures.NoScriptError)):
            await client.run("EVALSHA")
    with pytest.raises(EngineUnavailable) as caught:
        await client.run("EVAL")
    assert "TLS" not in str(caught.value)
    await client.aclose()
