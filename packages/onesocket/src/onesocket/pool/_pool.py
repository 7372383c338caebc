"""The public handle on more keys than one connection holds."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, Literal, NoReturn, Self, Unpack, overload

from ..client._affinity import Affinity, is_collected
from ..client._callback import CallbackKeys
from ..client._client import Client
from ..client._client_options import ClientOptions
from ..client._error_reporter import ErrorReporter
from ..client._fan_out import FanOut
from ..client._gap import Gap
from ..client._key_options import check_key_support, check_subscription_support, select_keys
from ..client._message_client import C, CallbackOptions, R, ReaderParameters, SubscriptionOptions
from ..client._options import URLSource, check_seconds
from ..client._pickling import not_picklable
from ..client._queue import DEFAULT_LIMIT, Overflow
from ..client._registrations import Registrations
from ..client._snapshot_keeper import make_snapshot_keeper
from ..client._subscription import Predicate, Subscription
from ..client._upstream_subscriptions import KeySubscriber
from ..errors import InvalidOption
from ..protocols._message_type import M
from ..protocols._protocol import Protocol, implements
from ._connections import Connections, PoolOptions
from ._pool_status import PoolStatus


class Pool(Generic[M]):
    """Several connections to one service, behind one handle: for more keys than one connection holds.

    `subscribe(keys=…)` gives each key to the first connection that has room, and opens another one when none has. A
    connection without keys is closed. Each has its own pace, its own login and its own losses: a `Gap` goes to the
    readers of its keys alone, and names them. A pool belongs to the event loop of its first use, and to its process. It
    opens nothing by itself, and has no `send()`: messages of a program's own go over a `Client`.

    Parameters:
        url: As of `Client`, for all connections.
        protocol: As of `Client`. It needs ``subscriptions=Subscriptions(key=…, …)``, and a `successor()` for each
            further connection, which the codecs have.
        per_connection: Greatest number of keys of one connection (default: `limit` of the `Subscriptions`).
        max_connections: Greatest number of connections. Keys beyond that are refused (`PoolFull`), once in each reader,
            as keys that the service refuses. It holds for less while the service refuses one more.
        linger: Seconds for which a connection without keys stays open, in case others come.
        options: Those of `Client`, for each connection; no `DurableOutbox`. With ``rotation=Rotation(identity=…)``, the
            keys of a connection are moved to the others once these have room for all, without a loss or a double.
    """

    def __init__(
        self,
        url: str | URLSource,
        *,
        protocol: Protocol[M],
        per_connection: int | None = None,
        max_connections: int = 10,
        linger: float = 5.0,
        **options: Unpack[ClientOptions],
    ) -> None:
        first = Client(url, protocol=protocol, **options)
        made = first.internals.options
        if made.durable_outbox is not None:
            raise InvalidOption("a Pool sends no messages of the program: give the DurableOutbox to a Client")
        if not implements(protocol, Protocol.successor):
            raise InvalidOption(
                f"a Pool needs a protocol for each connection, and {type(protocol).__name__} has no successor(): "
                "define it to return another instance"
            )
        key_of = check_key_support(protocol)
        if check_subscription_support(protocol).wildcard is not None:
            raise InvalidOption(
                "a Pool takes no wildcard= of Subscriptions: messages of one key would come on two connections; "
                "leave it out, or use a Client"
            )
        self._protocol: Protocol[M] = protocol
        self._made = made
        self._spare: Client[M] | None = first
        self._new: Callable[[], Client[M]] = lambda: Client(url, protocol=protocol.successor(), **options)
        self._is_closed = False
        self._affinity = Affinity("pool", self._forked)
        self._reporter = ErrorReporter(made.shown_url, options.get("on_error"))
        self._fan_out = FanOut(
            event_of=protocol.event_of,
            names_events=protocol.names_events,
            hold=self._hold,
            release=self._release,
            report=self._reporter.report,
            on_loop=self._affinity.call_on_loop,
            soon=self._affinity.call_soon,
        )
        if protocol.snapshot is not None:
            self._fan_out.keep_snapshots(make_snapshot_keeper(protocol, self._reporter.report))
        self._registrations = Registrations()
        self._connections = Connections(
            PoolOptions(
                _check_keys_of_one(per_connection, check_subscription_support(protocol).limit),
                _check_count("max_connections", max_connections),
                check_seconds("linger", linger),
                made.rotation,
            ),
            self._fan_out,
            make_client=self._make_client,
            key_of=key_of,
            report=self._reporter.report,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._made.shown_url} {self._connections!r} subscribers={len(self._fan_out)}>"

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a pool can't be pickled or copied."""
        raise not_picklable(self)

    async def __aenter__(self) -> Self:
        """Return the pool."""
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Close, for good."""
        if not is_collected(kind, self._affinity.loop):
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections in order, for good: subscriptions end, nothing of the pool is left on the loop."""
        self._affinity.check()
        self._is_closed = True
        try:
            await self._connections.aclose()
        finally:  # cancelled, it leaves no reader waiting
            self._fan_out.end()
        await self._fan_out.settle(self._made.close_timeout)

    @overload
    def subscribe(
        self, event: str | None = None, *, gaps: Literal[False], **options: Unpack[SubscriptionOptions[M]]
    ) -> Subscription[M]: ...
    @overload
    def subscribe(
        self, event: str | None = None, *, gaps: bool = True, **options: Unpack[SubscriptionOptions[M]]
    ) -> Subscription[M | Gap]: ...
    def subscribe(
        self,
        event: str | None = None,
        *,
        where: Predicate[M] | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = True,
        raise_on_failure: bool = True,
    ) -> Subscription[M | Gap]:
        """A stream of messages, as of `Client`: of `keys`, for which connections are opened, or without keys of all.

        A `Gap` is about one connection: its `keys` are those of this stream that the connection has. With the overflow
        rule ``"wait"``, no socket of the pool is read until the reader has caught up. `raise_on_failure`: when a
        connection fails for good, its error is raised in the readers of its keys; the next `subscribe()` with keys has
        these tried again. Messages that came before the first reader are not kept.
        """
        self._affinity.check_process()
        wanted = None if keys == () else select_keys(self._protocol, keys)
        if wanted is not None:
            self._affinity.check()
        stream = self._fan_out.subscribe(
            event,
            where,
            keys=wanted,
            limit=limit,
            overflow=overflow,
            gaps=gaps,
            raise_on_failure=raise_on_failure,
        )
        if wanted is not None and not self._is_closed:
            queue = stream.queue
            stream.on_end = lambda: self._affinity.call_on_loop(self._remove, queue)
            try:
                self._connections.add(queue, wanted.keys)
            except BaseException:
                stream.close()
                raise
        return stream

    def __aiter__(self) -> Subscription[M | Gap]:
        """A new subscription to all messages of all keys: ``async for message in pool``."""
        return self.subscribe()

    @overload
    def on(
        self, event: Callable[[M], R], /, *, gaps: Literal[False] = False, **options: Unpack[ReaderParameters[M]]
    ) -> Callable[[M], R]: ...
    @overload
    def on(
        self, event: Callable[[M | Gap], R], /, *, gaps: bool, **options: Unpack[ReaderParameters[M]]
    ) -> Callable[[M | Gap], R]: ...
    @overload
    def on(self, event: str | None, callback: C, **options: Unpack[CallbackOptions]) -> C: ...
    @overload
    def on(self, event: str | None = None, **options: Unpack[CallbackOptions]) -> Callable[[C], C]: ...
    def on(
        self,
        event: Any = None,
        callback: Callable[..., Any] | None = None,
        *,
        where: Predicate[M] | None = None,
        keys: Iterable[Hashable] = (),
        limit: int = DEFAULT_LIMIT,
        overflow: Overflow | str = Overflow.FAIL,
        gaps: bool = False,
    ) -> Any:
        """Call `callback` with every message (of that event) of `keys`, or of all keys; see `Client.on`."""
        self._affinity.check_process()
        wanted = None if keys == () else select_keys(self._protocol, keys)
        if wanted is not None:
            self._affinity.check()
        options: Any = {"where": where, "limit": limit, "overflow": overflow, "gaps": gaps}

        def add(name: str | None, call: Callable[[Any], Any]) -> Callable[[], None]:
            if wanted is None or self._is_closed:
                return self._fan_out.on(name, call, keys=wanted, **options)
            reader = CallbackKeys(call, self._reporter.report)
            leave = functools.partial(self._affinity.call_on_loop, self._remove, reader)
            remove = self._fan_out.on(name, call, keys=wanted, on_end=leave, **options)
            try:
                self._connections.add(reader, wanted.keys)
            except BaseException:
                remove()
                raise
            return remove

        return self._registrations.on(event, callback, add)

    def off(self, callback: Callable[..., Any]) -> None:
        """Remove one registration of `callback` by `on()`, the newest."""
        self._registrations.off(callback)

    @property
    def status(self) -> PoolStatus:
        """A frozen snapshot of this moment."""
        connections = tuple(self._connections.items)
        return PoolStatus(
            connections=tuple(each.client.status for each in connections),
            keys=tuple(len(each.keys) for each in connections),
            waiting=self._connections.waiting,
            max_connections=self._connections.bound,
            inbox=self._fan_out.depth,
            subscribers=len(self._fan_out),
            is_held=self._fan_out.is_held,
        )

    def _make_client(self) -> Client[M]:
        """The client that the options were checked with, or a new one."""
        spare, self._spare = self._spare, None
        return self._new() if spare is None else spare

    def _remove(self, reader: KeySubscriber) -> None:
        loop = self._affinity.loop
        if not self._is_closed and loop is not None and not loop.is_closed():
            self._connections.remove(reader)

    def _hold(self) -> None:
        self._connections.hold()

    def _release(self) -> None:
        self._connections.release()

    def _forked(self) -> None:
        self._fan_out.break_off(self._affinity.error())


def _check_keys_of_one(per_connection: object, declared: int | None) -> int:
    """The greatest number of keys of one connection; raises `InvalidOption`."""
    if per_connection is None and declared is None:
        raise InvalidOption("a Pool needs per_connection=…, or a limit=… in the protocol's Subscriptions")
    count = _check_count("per_connection", declared if per_connection is None else per_connection)
    if declared is not None and count > declared:
        raise InvalidOption(f"per_connection={count} is more than limit={declared} of the protocol's Subscriptions")
    return count


def _check_count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOption(f"{name} must be a whole number >= 1, not {value!r}")
    return value
