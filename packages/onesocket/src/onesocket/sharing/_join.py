"""`join()`: a handle on the one connection of a key, built by whoever comes first."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, NoReturn, Unpack

from ..client._client import Client
from ..client._error_reporter import check_on_error
from ..client._options import Token, TokenSource
from ..client._pickling import not_picklable
from ..client._user_code import USER_ERRORS, concerns_another_client
from ..errors import InvalidOption, ManuallyDisconnected, OnesocketError, UsageError, WrongEventLoop
from ..protocols._protocol import Protocol
from ..protocols._raw import Raw
from ..urls import redact
from ._client_upstream import ClientUpstream
from ._connection_key import ConnectionKey
from ._host_options import HostOptions
from ._loop_inbox import running_loop
from ._member_tokens import MemberTokens
from ._options import OPTION_NAMES, ClientOptions, RequestedOptions, Scope, same_protocol
from ._registry import LookupRunner, current_registry
from ._shared_client import SharedClient
from ._shared_connection import SharedConnection
from ._upstream import ConnectionSpec, Upstream

ClientFactory = Callable[[], Client] | Callable[[Any], Client]

_DISCONNECTED_FOR_ALL: Final = (
    "somebody who shares this connection called disconnect(), which holds for all; "
    "client = join(...).client() and then await client.reconnect() lifts it"
)


def join(
    url: str,
    *,
    key: str | None = None,
    scope: Scope = "process",
    token: Token | None = None,
    linger: float = 0.0,
    on_error: Callable[[BaseException], object] | None = None,
    client_factory: ClientFactory | None = None,
    host_options: HostOptions | None = None,
    **options: Unpack[ClientOptions],
) -> JoinRequest:
    """A handle on the one connection of this URL and identity: ``async with onesocket.join(url) as link:``.

    Whoever comes first builds it; everybody else, in whatever task, thread or event loop (and with scope "host", in
    whatever process of this user), joins it. Entering waits for the line as `Client.connect()` does and raises the
    same, the same for all who join at once; cancelling one hurts nobody else. Leaving closes the link; the last one
    out closes the connection.

    Parameters:
        url: As for `Client`; its query counts, its user info is part of the identity.
        key: A name for the identity, instead of the token: for token sources that differ from call to call, and for
            accounts that other options tell apart.
        scope: ``"loop"``: this event loop only. ``"process"``: every thread and loop. ``"host"``: every process.
        token: As for `Client`. Equal strings, or the same callable, mean the same identity. Callables are called on the
            loop of whoever gave them (in the owner's thread for blocking links), as long as that link is open.
        linger: Seconds that the connection outlives its last link, in case another comes. The longest asked for counts.
        on_error: Called with what this link's callbacks raise, and with its failed deliveries that nobody awaits.
        client_factory: A function that builds the `Client` (or a subclass) of this key, instead of `options`. It is
            called with the token (or its source) if there is a `token=`, else without arguments; scope "host" needs
            that, or `key`. It brings the protocol, too: a `protocol=` beside it has to be the same.
        host_options: For scope "host".
        options: As for `Client`. Whoever joins with another value than the first gets `OptionConflict`. Of `headers`,
            `subprotocols`, `protocol`, `ssl` and `proxy`, which go into dial and login, leaving one out counts as its
            default; other options that are left out conflict with nothing. Functions and TLS contexts are compared by
            identity, so those that are made anew for each call need a `key`. Accounts that only headers, a login or a
            client certificate tell apart need a `key` each.
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
            options=dict(options),
        ),
        on_error,
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
        client_factory: ClientFactory | None,
        host_options: HostOptions | None,
        options: dict[str, Any],
    ) -> None:
        if scope not in ("loop", "process", "host"):
            raise InvalidOption(f"scope must be 'loop', 'process' or 'host', not {scope!r}")
        if not is_number(linger) or not 0 <= linger < float("inf"):
            raise InvalidOption(f"linger must be a number of seconds, 0 or more, not {linger!r}")
        unknown = set(options) - OPTION_NAMES
        if unknown:
            raise InvalidOption(f"join() has no option {min(unknown)}=; it takes those of Client")
        if client_factory is not None and set(options) - {"protocol"}:
            raise InvalidOption("client_factory= builds the client: give the options to that, not to join()")
        if client_factory is not None and scope == "host" and key is None and token is None:
            raise InvalidOption(
                "processes can't tell whether what client_factory= makes means the same identity: pass key='a name', "
                "or token=, which client_factory= is then called with"
            )
        _check_kinds(client_factory, host_options, scope)
        self.key = ConnectionKey.of(url, key=key, token=token)
        self.scope: Scope = scope
        self.linger = float(linger)
        self.url = url
        self.shown = redact(url)
        self.token_source: TokenSource | None = token if callable(token) else None
        self._token = token
        self._client_factory = client_factory
        self._host_options = host_options
        self._options = options
        given = dict(options) if token is None else {**options, "token": token}
        if self.key.user_info is not None:
            given["user info"] = self.key.user_info
        if client_factory is not None:
            given["client_factory"] = client_factory
        if host_options is not None:
            given["host_options"] = host_options
        self._given = RequestedOptions(given, scope=scope)

    def __repr__(self) -> str:
        return f"<Request {self.shown} scope={self.scope}>"

    def find(
        self, loop: asyncio.AbstractEventLoop | None, claim: LookupRunner = lambda find: find()
    ) -> SharedConnection:
        """The connection, counted for one more link; `claim` as in `Registry.find`."""
        tokens = MemberTokens()
        token = self._token if self.token_source is None else tokens.ask
        protocol = self._options.get("protocol")
        recipe = ConnectionSpec(
            key=self.key,
            options=self._options if token is None else {**self._options, "token": token},
            protocol=protocol if isinstance(protocol, Protocol) else Raw(),
            make_client=functools.partial(_make_client, self.url, self._client_factory, self._options, token),
            tokens=tokens,
            host_options=self._host_options or HostOptions(),
        )
        make = self._make_host if self.scope == "host" else _make_process_upstream
        return current_registry().find(
            recipe, self._given, make, scope=self.scope, linger=self.linger, loop=loop, claim=claim
        )

    def _make_host(self, recipe: ConnectionSpec) -> tuple[Upstream, Protocol]:
        from .host._host_upstream import HostUpstream  # noqa: PLC0415 - most programs don't share with other processes

        if self._client_factory is not None:
            # A client is made in whatever process becomes the owner, but each has to know what the messages mean.
            recipe = dataclasses.replace(recipe, protocol=recipe.make_client().internals.options.protocol)
        return HostUpstream(recipe), recipe.protocol


class JoinRequest:
    """What `join()` returns: enter it with ``async with``, or await it for a `SharedClient` that you close yourself."""

    def __init__(self, request: JoinParameters, on_error: Callable[[BaseException], object] | None) -> None:
        self._request = request
        self._on_error = check_on_error(on_error)
        self._link: SharedClient | None = None

    def __repr__(self) -> str:
        return f"<Joining {self._request.shown} {self._link!r}>"

    def __reduce__(self) -> NoReturn:
        """Raise `UsageError`: a request to join can't be pickled or copied."""
        raise not_picklable(self)

    def __await__(self) -> Generator[Any, None, SharedClient]:
        """Join, and return the link."""
        return self._join().__await__()

    async def __aenter__(self) -> SharedClient:
        """Join."""
        self._link = await self._join()
        return self._link

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave."""
        link, self._link = self._link, None
        if link is not None:
            await link.__aexit__(kind, error, trace)

    @property
    def token_source(self) -> TokenSource | None:
        """The function that was given as `token`."""
        return self._request.token_source

    def client(self) -> SharedClient:
        """A link that is counted, but not connected yet: its `connect()` has the line up, as often as you like.

        So it can be read from the first message on, and a failed attempt leaves it usable. Close it yourself.
        """
        loop = running_loop()
        if loop is None:
            raise WrongEventLoop("join() needs a running event loop; without one, use onesocket.blocking.join()")
        request = self._request
        return SharedClient(
            request.find(loop),
            current_registry(),
            loop,
            shown=request.shown,
            token_source=request.token_source,
            on_error=self._on_error,
        )

    async def _join(self) -> SharedClient:
        link = self.client()
        try:
            await link.connect()
        except ManuallyDisconnected:
            await link.aclose()
            raise ManuallyDisconnected(
                _DISCONNECTED_FOR_ALL
            ) from None  # whoever reads it has no link to call anything on
        except BaseException as error:
            await link.__aexit__(type(error), error, None)
            raise
        return link


def _check_kinds(client_factory: object, host_options: object, scope: Scope) -> None:
    if client_factory is not None and not callable(client_factory):
        kind = type(client_factory).__name__
        raise InvalidOption(f"client_factory must be a function that builds a Client, not {kind}")
    if host_options is not None and scope != "host":
        raise InvalidOption("host_options= is for scope='host'")
    if host_options is not None and not isinstance(host_options, HostOptions):
        raise InvalidOption(f"host_options must be HostOptions(...), not {type(host_options).__name__}")


def is_number(value: object) -> bool:
    """Whether a caller gave a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _make_client(url: str, make: Any, options: dict[str, Any], token: Token | None) -> Client:
    """Not a method: whoever joined first is not kept by the connection."""
    if make is None:
        return Client(url, token=token, **options)
    try:
        return _checked_client(make() if token is None else make(token), options.get("protocol"))
    except USER_ERRORS as error:
        if isinstance(error, OnesocketError) and not concerns_another_client(error):
            raise
        # Its text may hold a secret, so it is only chained.
        raise UsageError(f"client_factory= raised {type(error).__name__}") from error


def _make_process_upstream(recipe: ConnectionSpec) -> tuple[Upstream, Protocol]:
    client = recipe.make_client()
    return ClientUpstream(client), client.internals.options.protocol


def _checked_client(client: object, protocol: Protocol | None) -> Client:
    """What a caller's function made. `protocol`: what it says beside that."""
    if not isinstance(client, Client):
        raise InvalidOption(f"client_factory= must return a Client, not {type(client).__name__}")
    mine = client.internals.options.protocol
    if protocol is not None and not same_protocol(mine, protocol):
        raise InvalidOption(
            f"client_factory= builds a client with another protocol ({type(mine).__name__}) than protocol= "
            f"({type(protocol).__name__}): give the client the one that you mean, and leave protocol= out"
        )
    return client
