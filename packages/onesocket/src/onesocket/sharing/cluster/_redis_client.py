"""Connections to Redis or Valkey by redis-py: directly, by TLS, by a Unix socket, or found by Sentinels."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, NoScriptError, RedisError, ResponseError

from ...errors import EngineUnavailable
from ._engine_errors import tls_context
from ._redis_address import RedisAddress
from ._redis_errors import engine_error
from ._redis_scripts import RedisScript
from ._stream_descriptors import open_descriptors

_CLOSE_TIMEOUT: Final = 1.0
_ANSWERS: Final = (ResponseError, AuthenticationError, BusyLoadingError)
"""Errors that a server has answered; the other ones of redis-py are of the connection."""


class RedisClient:
    """Runs commands and scripts, each within a time, and raises typed errors instead of redis-py's.

    It repeats nothing: callers know what may be repeated. A command that is cancelled costs its connection, so that no
    later one reads its reply.
    """

    def __init__(self, address: RedisAddress, prefix: str, timeout: float) -> None:
        """`prefix`: that of the keys, for errors about access rules; `timeout`: seconds for each command."""
        self._address = address
        self._prefix = prefix
        self._timeout = timeout
        self._clients = self._connect()
        self._redis = self._clients[0]
        for name in ("XREAD", "TYPE"):
            self._redis.set_response_callback(name, _as_it_came)
        self._is_closed = False
        self._has_answered = False
        self.commands = 0
        """Commands that were sent so far, those to connect apart."""

    def __repr__(self) -> str:
        return f"<RedisClient {self._address}>"

    def _connect(self) -> list[Any]:
        """The client, and those of the Sentinels; Any, as redis-py types replies for both of its modes at once."""
        address = self._address
        options: dict[str, Any] = {
            "socket_timeout": None,  # a read that blocks has its own limit, as every command
            "socket_connect_timeout": self._timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,  # no HELLO, and no push messages
        }
        if address.secure:
            options |= {"ssl": True, **(address.tls_files or {})}
        login: dict[str, Any] = {
            "username": address.username,
            "password": address.password,
            "db": address.database,
        }
        if address.path:
            return [redis.asyncio.Redis(unix_socket_path=address.path, **options, **login)]
        if not address.service:
            ((host, port),) = address.hosts
            return [redis.asyncio.Redis(host=host, port=port, **options, **login)]
        sentinel_class: Any = Sentinel
        # They are asked one after the other: one that doesn't answer must leave time for the others, and the server.
        each = self._timeout / (len(address.hosts) + 1)
        asking = {"socket_timeout": each, "socket_connect_timeout": each, **(address.sentinel_login or {})}
        sentinel = sentinel_class(list(address.hosts), sentinel_kwargs={**options, **asking})
        return [sentinel.master_for(address.service, **options, **login), *sentinel.sentinels]

    async def run(self, *command: str | bytes | int, wait: float = 0.0) -> Any:
        """Run a command, within `wait` seconds more than usual; returns its reply."""
        name = str(command[0])
        if self._is_closed:
            raise EngineUnavailable(f"{self._address}: this coordinator is closed")
        self.commands += 1
        try:
            async with asyncio.timeout(self._timeout + wait):
                reply = await self._redis.execute_command(*command)
        except NoScriptError:
            self._has_answered = True
            raise
        except TimeoutError:
            remedy = self._tls_remedy if self._address.secure else ""
            raise EngineUnavailable(f"{self._address} did not answer within {self._timeout:g} s{remedy}") from None
        except (RedisError, OSError) as error:
            self._has_answered |= isinstance(error, _ANSWERS)
            files = self._address.pem_files
            if files and not isinstance(error, ResponseError):
                tls_context(files, str(self._address))  # redis-py tells no file from an address
            raise engine_error(error, str(self._address), name, self._prefix, self._tls_remedy) from error
        self._has_answered = True
        return reply

    @property
    def _tls_remedy(self) -> str:
        """Words for an error of a server that has never answered: it may speak TLS where the URL does not, or not."""
        if self._has_answered or self._address.path:
            return ""
        scheme, _, _ = str(self._address).partition(":")
        if self._address.secure:
            return f"; if that port does not speak TLS, write {scheme.replace('rediss', 'redis')}://"
        return f"; if that port speaks TLS, write {scheme.replace('redis', 'rediss')}://"

    async def run_script(self, script: RedisScript, keys: list[str], *arguments: str | bytes | int) -> Any:
        """Run a script, by its digest if the server has it; returns its reply."""
        try:
            return await self.run("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.run("EVAL", script.text, len(keys), *keys, *arguments)

    def descriptors(self) -> list[int]:
        """The open descriptors of all connections."""
        pools = [client.connection_pool for client in self._clients]
        # redis-py has no other access to them.
        connections = [each for pool in pools for each in (*pool._available_connections, *pool._in_use_connections)]  # noqa: SLF001
        return open_descriptors(each._writer for each in connections)  # noqa: SLF001

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        self._is_closed = True
        for client in self._clients:
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await client.aclose()
            except (RedisError, OSError, TimeoutError):
                pass  # a connection that can't be closed in order is gone


def _as_it_came(reply: Any, **_options: Any) -> Any:
    return reply
