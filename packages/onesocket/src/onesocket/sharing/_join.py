"""`join()`: a handle on the one connection of a key, which the first caller builds."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Unpack, overload

from ..client._client import Client
from ..client._client_options import ConnectionOptions
from ..client._durable_outbox import DurableOutbox
from ..client._error_reporter import check_on_error
from ..client._options import Token, check_outbox, check_protocol, check_seconds
from ..client._pickling import not_picklable
from ..client._token_source import TokenSource, takes_refusal
from ..client._user_code import USER_ERRORS, concerns_another_client
from ..errors import InvalidOption, ManuallyDisconnected, OnesocketError, UsageError, WrongEventLoop
from ..protocols._message_type import M
from ..protocols._protocol import Protocol
from ..protocols._raw import Raw
from ..urls import redact
from ..wire._handshake import Data
from ._client_upstream import ClientUpstream
from ._connection_key import ConnectionKey
from ._host_options import HostOptions
from ._loop_inbox import running_loop
from ._member_tokens import MemberTokens
from ._options import OPTION_NAMES, JoinOptions, RequestedOptions, Scope, same_protocol
from ._registry import LookupRunner, current_registry
from ._shared_client import SharedClient
from ._shared_connection import SharedConnection
from ._upstream import ConnectionSpec, Upstream

if TYPE_CHECKING:  # most programs share with no other host
    from .cluster._cluster_options import ClusterOptions
    from .cluster._coordinator import ClusterEngine

ClientFactory = Callable[[], Client[M]] | Callable[[Any], Client[M]]

_DISCONNECTED_FOR_ALL: Final = (
    "disconnect() was called on this connection, which holds for all who share it; "
    "client = join(...).client() and then await client.reconnect() lifts it"
)


@overload
def join(url: str, *, protocol: Protocol[M], **options: Unpack[JoinOptions]) -> JoinRequest[M]: ...
@overload
def join(
    url: str,
    *,
    client_factory: ClientFactory[M],
    protocol: Protocol[Any] | None = None,
    **options: Unpack[JoinOptions],
) -> JoinRequest[M]: ...
@overload
def join(
    url: str, *, protocol: None = None, client_factory: None = None, **options: Unpack[JoinOptions]
) -> JoinRequest[Data]: ...
def join(
    url: str,
    *,
    key: str | None = None,
    scope: Scope = "process",
    token: Token | None = None,
    linger: float = 0.0,
    wait: bool = True,
    on_error: Callable[[BaseException], object] | None = None,
    client_factory: ClientFactory[Any] | None = None,
    host_options: HostOptions | None = None,
    cluster: ClusterOptions | ClusterEngine | str | None = None,
    protocol: Protocol[Any] | None = None,
    **options: Unpack[ConnectionOptions],
) -> JoinRequest[Any]:
    """Join the one connection of this URL and identity: ``async with onesocket.join(url) as client:``.

    The first caller opens it; all others, in any task, thread or event loop (with scope "host", in any process of this
    user; with scope "cluster", on any host), join it. Entering waits for the connection as `Client.connect()` does and
    raises the same, for all who join at once; the cancellation of one affects no other. Leaving closes the client; the
    last one closes the connection.

    Parameters:
        url: As for `Client`; its query counts, its user info is part of the identity.
        key: A name for the identity, instead of the token: for token sources that differ from call to call, and for
            accounts that other options tell apart.
        scope: ``"loop"``: this event loop only. ``"process"``: every thread and loop. ``"host"``: every process.
            ``"cluster"``: every process of every host that uses the same engine. There may be two connections while the
            *machine* or the process that leads stands still (a paused VM, a debugger) for longer than its lease.
        token: As for `Client`. Equal strings, or the same callable, mean the same identity. Callables are called on the
            loop of the client that brought them (for blocking clients in a thread), as long as that client is open.
        wait: False to join without waiting for the connection, which is then connected with ``retry=True``: the client
            is there while the service is still down, and its first reader has all messages. (With ``reconnect=None``
            one attempt is made.)
        linger: Seconds that the connection outlives its last client, in case another joins. The longest counts.
        on_error: Called with what this client's callbacks raise, and with its failed deliveries that are not awaited.
        client_factory: A function that builds the `Client` (or a subclass) of this key, instead of `options`. It is
            called with the token (or its source) if there is a `token=`, else without arguments; scope "host" needs
            that, or `key`. It brings the protocol, too: a `protocol=` beside it has to be the same.
        host_options: For the scopes "host" and "cluster".
        cluster: For scope "cluster": the engine that coordinates the hosts, such as ``RedisCoordinator("redis://…")``,
            its URL, or `ClusterOptions` with one. None: the URL in `ONESOCKET_CLUSTER`.
        protocol: As for `Client`; it gives the type of messages.
        options: As for `Client`. A caller with another value than the first gets `OptionConflict`. Of `headers`,
            `subprotocols`, `protocol`, `ssl`, `proxy`, `server_hostname`, `local_address`, `pace` and `control_pace`,
            which the server sees, leaving one out counts as its default; other options that are left out conflict with
            nothing. Functions and TLS contexts are compared by identity, so those that are made anew for each call need
            a `key`. Accounts that only headers, a login or a client certificate tell apart need a `key` each.
    """
    return JoinRequest(
        JoinParameters(
            url,
            key=key,
            scope=scope,
            token=token,
            linger=linger,
            client_factory=client_factory,
            host_options=host_options,
            cluster=cluster,
            options=dict(options) if protocol is None else {**options, "protocol": protocol},
        ),
        on_error,
        wait=wait,
    )


class JoinParameters:
    """The arguments of one `join()`, checked; it can be made again in a forked child."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        scope: Scope,
        token: Token | None,
        linger: float,
        client_factory: ClientFactory[Any] | None,
        host_options: HostOptions | None,
        cluster: ClusterOptions | ClusterEngine | str | None,
        options: dict[str, Any],
    ) -> None:
        if scope not in ("loop", "process", "host", "cluster"):
            raise InvalidOption(f"scope must be 'loop', 'process', 'host' or 'cluster', not {scope!r}")
        crosses_processes = scope in ("host", "cluster")
        if not is_number(linger) or not 0 <= linger < float("inf"):
            raise InvalidOption(f"linger must be a number of seconds, 0 or more, not {linger!r}")
        unknown = set(options) - OPTION_NAMES
        if unknown:
            raise InvalidOption(f"join() has no option {min(unknown)}=; it takes those of Client")
        if client_factory is not None and set(options) - {"protocol"}:
            raise InvalidOption("client_factory= builds the client: give the options to that, not to join()")
        if client_factory is not None and crosses_processes and key is None and token is None:
            raise InvalidOption(
                "processes can't tell whether the clients of client_factory= mean the same identity: pass key='a name' "
                "or token=, which client_factory= is then called with"
            )
        _check_kinds(client_factory, host_options, scope)
        _check_options(options)
        if crosses_processes and "outbox" in options:
            _check_no_durable_outbox(check_outbox(options["outbox"]))
        self.key = ConnectionKey.of(url, key=key, token=token)
        self.scope: Scope = scope
        self._cluster = _cluster_of(cluster, scope)
        self.linger = float(linger)
        self.url = url
        self.shown = redact(url)
        self.token_source: TokenSource | None = token if callable(token) else None
        if self.token_source is not None:
            takes_refusal(self.token_source)
        self._token = token
        self._client_factory = client_factory
        self._host_options = host_options
        self._options = options
        requested = dict(options) if token is None else {**options, "token": token}
        if self.key.user_info is not None:
            requested["user info"] = self.key.user_info
        if client_factory is not None:
            requested["client_factory"] = client_factory
        if host_options is not None:
            requested["host_options"] = host_options
        if self._cluster is not None:
            requested["cluster"] = self._cluster  # the same from an object, a URL and the environment
        self._requested = RequestedOptions(requested, scope=scope)

    @property
    def can_retry(self) -> bool | None:
        """True if a first connect can be retried; None: the client that `client_factory=` builds tells."""
        if self._client_factory is not None:
            return None
        return self._options.get("reconnect", True) is not None

    def __repr__(self) -> str:
        return f"<JoinParameters {self.shown} scope={self.scope}>"

    def find(
        self, loop: asyncio.AbstractEventLoop | None, run_lookup: LookupRunner = lambda find: find()
    ) -> SharedConnection:
        """The connection, counted for one more member; `run_lookup`: as of `Registry.find`."""
        tokens = MemberTokens()
        token = self._token if self.token_source is None else tokens.ask
        protocol: Protocol | None = self._options.get("protocol")
        spec = ConnectionSpec(
            key=self.key,
            options=self._options if token is None else {**self._options, "token": token},
            protocol=Raw() if protocol is None else protocol,
            make_client=functools.partial(_make_client, self.url, self._client_factory, self._options, token),
            tokens=tokens,
            host_options=self._host_options or HostOptions(),
        )
        is_own = self._client_factory is None
        is_here = self.scope in ("loop", "process")
        make = functools.partial(_make_process_upstream, is_own=is_own) if is_here else self._make_host
        return current_registry().find(
            spec, self._requested, make, scope=self.scope, linger=self.linger, loop=loop, run_lookup=run_lookup
        )

    def _make_host(self, spec: ConnectionSpec) -> tuple[Upstream, Protocol]:
        from .host._host_upstream import HostUpstream  # noqa: PLC0415 - most programs don't share with other processes

        if self._client_factory is not None:
            # The client is made in the process that becomes the owner, but each needs the protocol.
            made = spec.make_client().internals.options
            _check_no_durable_outbox(made.durable_outbox)
            options = {**spec.options, "instruments": made.instruments, "recorder": made.recorder}
            spec = dataclasses.replace(spec, protocol=made.protocol, options=options)
        if self._cluster is None:
            return HostUpstream(spec), spec.protocol
        from .cluster._cluster_upstream import ClusterUpstream  # noqa: PLC0415 - as above

        return ClusterUpstream(spec, self._cluster), spec.protocol


class JoinRequest(Generic[M]):
    """The result of `join()`: use ``async with``, or await it for a `SharedClient` that you close yourself."""

    def __init__(
        self, parameters: JoinParameters, on_error: Callable[[BaseException], object] | None, *, wait: bool
    ) -> None:
        self._parameters = parameters
        self._waits = check_wait(wait)
        self._on_error = check_on_error(on_error)
        self._client: SharedClient[M] | None = None

    def __repr__(self) -> str:
        return f"<JoinRequest {self._parameters.shown} {self._client!r}>"

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a request to join can't be pickled or copied."""
        raise not_picklable(self)

    def __await__(self) -> Generator[Any, None, SharedClient[M]]:
        """Join, and return the client."""
        return self._join().__await__()

    async def __aenter__(self) -> SharedClient[M]:
        """Join."""
        self._client = await self._join()
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        client, self._client = self._client, None
        if client is not None:
            await client.__aexit__(kind, error, trace)

    @property
    def token_source(self) -> TokenSource | None:
        """The function that was given as `token`."""
        return self._parameters.token_source

    def client(self) -> SharedClient[M]:
        """A client that is counted, but not connected yet: call its `connect()`, as often as you like.

        So it can be read from the first message on, and a failed attempt leaves it usable. Close it yourself.
        """
        loop = running_loop()
        if loop is None:
            raise WrongEventLoop("join() needs a running event loop; without one, use onesocket.blocking.join()")
        parameters = self._parameters
        return SharedClient(
            parameters.find(loop),
            current_registry(),
            loop,
            shown=parameters.shown,
            token_source=parameters.token_source,
            on_error=self._on_error,
        )

    if not TYPE_CHECKING:  # type checkers tell it by themselves

        def __getattr__(self, name: str) -> NoReturn:
            """Raise `AttributeError`; for a name of the client with the remedy."""
            text = f"'JoinRequest' object has no attribute {name!r}"
            if hasattr(SharedClient, name):
                text += ", a client has: `async with join(…) as client:`, or `client = await join(…)`"
            raise AttributeError(text, name=name, obj=self)

    async def _join(self) -> SharedClient[M]:
        client = self.client()
        if not self._waits:
            client.connect_nowait(retry=self._parameters.can_retry)
            return client
        try:
            await client.connect()
        except ManuallyDisconnected:
            await client.aclose()
            # Its caller has no client to call anything on.
            raise ManuallyDisconnected(_DISCONNECTED_FOR_ALL) from None
        except BaseException as error:
            await client.__aexit__(type(error), error, None)
            raise
        return client


def _check_kinds(client_factory: object, host_options: object, scope: Scope) -> None:
    if client_factory is not None and not callable(client_factory):
        kind = type(client_factory).__name__
        raise InvalidOption(f"client_factory must be a function that builds a Client, not {kind}")
    if host_options is not None and scope not in ("host", "cluster"):
        raise InvalidOption("host_options= is for scope='host' and scope='cluster'")
    if host_options is not None and not isinstance(host_options, HostOptions):
        raise InvalidOption(f"host_options must be HostOptions(...), not {type(host_options).__name__}")


def _cluster_of(cluster: ClusterOptions | ClusterEngine | str | None, scope: Scope) -> ClusterOptions | None:
    if scope != "cluster":
        if cluster is not None:
            raise InvalidOption("cluster= is for scope='cluster'")
        return None
    from .cluster._named_engine import cluster_options  # noqa: PLC0415 - most programs share with no other host

    return cluster_options(cluster)


def _check_options(options: dict[str, Any]) -> None:
    """Check those that are used before the client is made, which checks all."""
    check_protocol(options.get("protocol"))
    for name in ("open_timeout", "close_timeout"):
        if name in options:
            check_seconds(name, options[name])


def _check_no_durable_outbox(outbox: object) -> None:
    if isinstance(outbox, DurableOutbox):
        raise InvalidOption(
            "outbox=DurableOutbox(...) can't be shared between processes, as one process writes the file and the "
            "connection may move to another: use scope='process' in the one that sends, or leave the outbox out"
        )


def check_wait(value: object) -> bool:
    """`wait` of a `join()`; raises `InvalidOption`."""
    if not isinstance(value, bool):
        raise InvalidOption(f"wait must be True or False, not {value!r}")
    return value


def is_number(value: object) -> bool:
    """True for a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _make_client(url: str, make: Any, options: dict[str, Any], token: Token | None) -> Client:
    """Not a method: the connection keeps no reference to the parameters of the first caller."""
    if make is None:
        return Client(url, token=token, **options)
    try:
        return _checked_client(make() if token is None else make(token), options.get("protocol"))
    except USER_ERRORS as error:
        if isinstance(error, OnesocketError) and not concerns_another_client(error):
            raise
        # Its text may hold a secret, so it is only chained.
        raise UsageError(f"client_factory= raised {type(error).__name__}") from error


def _make_process_upstream(spec: ConnectionSpec, *, is_own: bool) -> tuple[Upstream, Protocol]:
    client = spec.make_client()
    return ClientUpstream(client, is_own=is_own), client.internals.options.protocol


def _checked_client(client: Any, protocol: Protocol | None) -> Client:
    """The result of a `client_factory=`; raises `InvalidOption`. `protocol`: the option beside it."""
    made: Client = client
    if not isinstance(client, Client):
        raise InvalidOption(f"client_factory= must return a Client, not {type(client).__name__}")
    mine = made.internals.options.protocol
    if protocol is not None and not same_protocol(mine, protocol):
        raise InvalidOption(
            f"client_factory= builds a client with another protocol ({type(mine).__name__}) than protocol= "
            f"({type(protocol).__name__}): give the client the one that you mean, and leave protocol= out"
        )
    return made
