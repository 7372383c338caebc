"""One connection to a NATS server by nats-py: requests with typed errors, and subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import nats.errors
from nats.aio.client import Client as RawClient

from ..._task_end import hide_task
from ...errors import EngineLoginRefused, EngineUnavailable, OnesocketError, TLSFailed
from ._engine_errors import tls_context
from ._engine_url import hosts_text
from ._nats_address import NatsAddress
from ._nats_errors import NO_RESPONDERS, NatsRefused, connect_error, denied, denied_subject, tls_first
from ._stream_descriptors import open_descriptors

_PING_INTERVAL: Final = 10
_CLOSE_TIMEOUT: Final = 1.0
_FAILED_CLOSE_TIMEOUT: Final = 0.05
"""After a failed TLS handshake, asyncio waits for an end that does not come."""
_SILENCE: Final = 0.25
"""Seconds: a server that ends a connection earlier, before it says anything, waits for no TLS."""
_TASKS: Final = ("_reading_task", "_ping_interval_task", "_flusher_task")
"""Of nats-py's client."""


class NatsMessage(NamedTuple):
    """A message to be published, or one that came."""

    subject: str
    data: bytes
    headers: Mapping[str, str]
    reply: str = ""


class _TellingClient(RawClient):
    """Tells an end without a word, of a proxy whose server is away, from the words of another protocol."""

    has_reached = False
    """True once a server has accepted the connection, whatever it says then."""

    async def _process_connect_init(self) -> None:
        self.has_reached = True
        try:
            await super()._process_connect_init()
        except nats.errors.Error as error:
            reader = getattr(self._transport, "_io_reader", None)
            if "INFO" in str(error) and reader is not None and reader.at_eof():
                raise ConnectionResetError("it closed the connection at once") from error
            raise


class NatsConnection:
    """A connection that is not made anew when it is lost: what waits on it fails, and its user connects again.

    A request that is not answered in time ends the connection: the next one may find another server.
    """

    def __init__(self, where: str, timeout: float) -> None:
        self.where = where
        self._timeout = timeout
        self._raw: Any = _TellingClient()
        self._now = asyncio.get_running_loop().time
        self._inbox = ""
        self._tokens = itertools.count(1)
        self._pending: dict[str, tuple[asyncio.Future[NatsMessage], str]] = {}
        self._failures: list[BaseException] = []
        self._deaf: OnesocketError | None = None
        self.watchers: set[Callable[[], None]] = set()
        """Called when the connection is lost."""

    def __repr__(self) -> str:
        return f"<NatsConnection {self.where} pending={len(self._pending)}{' lost' if self.is_lost else ''}>"

    @classmethod
    async def open(cls, address: NatsAddress, host: tuple[str, int], name: str, timeout: float) -> NatsConnection:
        """Connect to one of the hosts; raises typed errors."""
        made = cls(str(address), timeout)
        context = tls_context(address.tls_files or {}, made.where) if address.secure else None
        began_at = made._now()
        try:
            async with asyncio.timeout(timeout):
                await made._connect(address, host, name, context)
                made._inbox = made._raw.new_inbox()
                await made._raw.subscribe(f"{made._inbox}.*", cb=made._answered)
                made._spare_tasks()
        except BaseException as error:
            await made.aclose(_FAILED_CLOSE_TIMEOUT)
            if isinstance(error, TimeoutError) and not made._failures:
                remedy = f"; {tls_first(secure=address.secure)}" if made._is_silent else ""
                raise EngineUnavailable(f"{made.where} did not answer within {timeout:g} s{remedy}") from None
            if isinstance(error, OSError) and made._info.get("tls_verify") and "cert" not in (address.tls_files or {}):
                text = f"{made.where} wants a certificate of its clients: name the PEM files, tls://…?cert=…&key=…"
                raise EngineLoginRefused(text) from error
            if isinstance(error, (nats.errors.Error, OSError, OnesocketError, ValueError)):
                cause = made._failures[-1] if isinstance(error, nats.errors.NoServersError) else error
                was_silent = made._is_silent and made._now() - began_at > _SILENCE
                raise connect_error(cause, made.where, secure=address.secure, was_silent=was_silent) from error
            raise
        return made

    async def _connect(
        self, address: NatsAddress, host: tuple[str, int], name: str, context: ssl.SSLContext | None
    ) -> None:
        def user() -> str:
            self._check_encrypted(address)
            return address.username or ""

        def token() -> str:
            self._check_encrypted(address)
            return address.token or ""

        options: dict[str, Any] = {}
        if context is not None:
            options["tls"] = context
        if address.username is not None:
            options |= {"user": user, "password": address.password or ""}
        elif address.token is not None:
            options["token"] = token
        await self._raw.connect(
            f"nats://{hosts_text((host,))}",
            error_cb=self._failed,
            closed_cb=self._lost,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 would be without end
            reconnect_time_wait=0,
            connect_timeout=self._timeout,
            ping_interval=_PING_INTERVAL,
            **options,
        )
        self._check_encrypted(address)
        self._spare_tasks()

    def _spare_tasks(self) -> None:
        """Have the end of a loop that cancels all its tasks spare these: the lease is released after that."""
        for task in self._tasks:
            hide_task(task)

    @property
    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Tasks of nats-py, which has no other access to them."""
        tasks: set[Any] = {getattr(self._raw, name) for name in _TASKS}
        tasks |= {each._wait_for_msgs_task for each in self._raw._subs.values()}  # noqa: SLF001
        return tasks - {None}

    def _check_encrypted(self, address: NatsAddress) -> None:
        # nats-py goes on without TLS if the server does not ask for it; called before it writes a password.
        if address.secure and not self._info.get("tls_required"):
            raise TLSFailed(f"{self.where} does not offer TLS: configure it there, or use nats://")

    @property
    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = self._raw._server_info  # noqa: SLF001 - nats-py has no other access to it
        return info

    @property
    def _is_silent(self) -> bool:
        """True if a server was reached that has said nothing."""
        return bool(self._raw.has_reached) and not self._info

    @property
    def version(self) -> str:
        """The server's version."""
        return str(self._info.get("version", "0"))

    @property
    def max_payload(self) -> int:
        """Bytes that a message may have with its headers."""
        return int(self._info.get("max_payload", 0))

    @property
    def is_lost(self) -> bool:
        """True once the connection has ended."""
        return bool(self._raw.is_closed)

    async def request(self, message: NatsMessage) -> NatsMessage:
        """Publish a message; returns the answer to it.

        Raises `NatsRefused` if nobody listens, `EngineCommandDenied`, or `EngineUnavailable`.
        """
        if self._deaf is not None:
            raise self._deaf
        token = str(next(self._tokens))
        future: asyncio.Future[NatsMessage] = asyncio.get_running_loop().create_future()
        self._pending[token] = future, message.subject
        try:
            async with asyncio.timeout(self._timeout):
                await self.publish(message._replace(reply=f"{self._inbox}.{token}"))
                answer = await future
        except TimeoutError:
            error = EngineUnavailable(f"{self.where} did not answer within {self._timeout:g} s")
            self._fail_all(error)
            await self.aclose()
            raise error from None
        finally:
            del self._pending[token]
            if future.done() and not future.cancelled():
                future.exception()  # it may have failed while nothing waited for it yet
        if not answer.data and answer.headers.get("Status") == "503":
            raise NatsRefused(message.subject, 503, NO_RESPONDERS, "nobody answers there")
        return answer

    async def publish(self, message: NatsMessage) -> None:
        """Publish a message without waiting for anything."""
        try:
            await self._raw.publish(
                message.subject, message.data, reply=message.reply, headers=dict(message.headers) or None
            )
        except (nats.errors.Error, OSError) as error:
            raise EngineUnavailable(f"{self.where}: the connection is lost") from error

    async def subscribe(self, callback: Callable[[NatsMessage], None]) -> tuple[str, Any]:
        """Subscribe to a new subject; returns it, and the subscription for `unsubscribe`."""

        async def came(raw: Any) -> None:
            callback(NatsMessage(raw.subject, raw.data, raw.headers or {}, raw.reply))

        subject = self._raw.new_inbox()
        try:
            subscription = await self._raw.subscribe(subject, cb=came)
        except (nats.errors.Error, OSError) as error:
            raise EngineUnavailable(f"{self.where}: the connection is lost") from error
        self._spare_tasks()
        return subject, subscription

    async def unsubscribe(self, subscription: Any) -> None:
        """End a subscription; no error if the connection is lost."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def descriptors(self) -> list[int]:
        """Its open descriptor."""
        return open_descriptors([getattr(self._raw._transport, "_io_writer", None)])  # noqa: SLF001 - there is no other way

    async def aclose(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """Close the connection. Idempotent."""
        tasks = self._tasks  # nats-py cancels them, and does not wait for their end
        try:
            async with asyncio.timeout(timeout):
                await self._raw.close()
                await asyncio.gather(*tasks, return_exceptions=True)
        except (nats.errors.Error, OSError, TimeoutError):
            pass  # a connection that can't be closed in order is gone

    async def _answered(self, raw: Any) -> None:
        pending = self._pending.get(raw.subject.rpartition(".")[2])
        if pending is not None and not pending[0].done():
            pending[0].set_result(NatsMessage(raw.subject, raw.data, raw.headers or {}))

    async def _failed(self, error: Exception) -> None:
        self._failures.append(error)
        refused = denied_subject(str(error))
        if refused is None:
            return
        operation, subject = refused
        if operation == "subscription":  # without it, no answer comes
            self._deaf = denied(self.where, operation, subject.replace("_inbox", "_INBOX"))
            self._fail_all(self._deaf)
            return
        for future, asked in self._pending.values():
            if asked.lower() == subject and not future.done():  # nats-py has made it lower case
                future.set_exception(denied(self.where, operation, asked))

    async def _lost(self) -> None:
        self._fail_all(EngineUnavailable(f"{self.where}: the connection is lost"))

    def _fail_all(self, error: OnesocketError) -> None:
        for future, _ in self._pending.values():
            if not future.done():
                future.set_exception(error)
        for each in tuple(self.watchers):
            each()
