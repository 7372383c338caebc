"""The options of a request to join, and whether two requests agree on them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from ..client._client import Client
from ..client._client_options import ConnectionOptions
from ..client._identity_token import IdentityToken
from ..client._options import Token, check_headers
from ..errors import OptionConflict
from ..protocols._codec_options import check_subprotocols
from ..protocols._protocol import Protocol
from ..protocols._raw import Raw
from ._connection_key import ConnectionKey, secret_digest
from ._host_options import HostOptions
from ._option_digests import (
    DIAL_OPTIONS,
    Comparable,
    comparable_dial_options,
    comparable_protocol,
    dial_conflict,
    opaque_conflict,
)

if TYPE_CHECKING:  # most programs share with no other host
    from .cluster._cluster_options import ClusterOptions
    from .cluster._coordinator import ClusterEngine

Scope = Literal["loop", "process", "host", "cluster"]


class SharingOptions(ConnectionOptions, total=False):
    """The options of both `join()` functions, besides `protocol` and `client_factory`."""

    key: str | None
    token: Token | None
    linger: float
    wait: bool
    on_error: Callable[[BaseException], object] | None
    host_options: HostOptions | None
    cluster: ClusterOptions | ClusterEngine | str | None


class JoinOptions(SharingOptions, total=False):
    """The options of `onesocket.join()`, besides `protocol` and `client_factory`."""

    scope: Scope


OPTION_NAMES: Final = frozenset({"protocol", *ConnectionOptions.__annotations__})
"""The options of `Client` that a connection has; what is left out conflicts only if it's in `DIAL_OPTIONS`."""
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(Client).parameters.items()}
_DIAL_OPTION_NAMES: Final = ("client_factory", *DIAL_OPTIONS)


class RequestedOptions:
    """The options of one request, made comparable while they're fresh: a protocol changes as it is used."""

    def __init__(self, options: Mapping[str, Any], *, scope: Scope) -> None:
        self._scope = scope
        self._dial = _comparable_dial_options(options)
        # No token source: a function may belong to a client, which this would keep.
        self._values = {
            name: _comparable_token(value) if name == "token" else value
            for name, value in options.items()
            if name not in _DIAL_OPTION_NAMES
        }

    def __repr__(self) -> str:
        return f"<RequestedOptions {', '.join(sorted({*self._dial, *self._values}))}>"

    def set_protocol(self, protocol: Protocol) -> None:
        """The client that is built from them uses this protocol, which `client_factory=` may have brought."""
        self._dial.setdefault("protocol", comparable_protocol(protocol))

    def check(self, later: RequestedOptions, key: ConnectionKey) -> None:
        """Raise `OptionConflict` if `later` wants another connection than this one."""
        # The scope first: where that differs, there's no use in naming an option of it.
        if self._scope != later._scope:
            raise _conflict(key, "scope", self._scope)
        for name in _DIAL_OPTION_NAMES:
            # An option of a client_factory= is only known to the client that it makes: that stands for all of them.
            mine, theirs = self._dial.get(name), later._dial.get(name)
            if mine is None or theirs is None or mine.agrees(theirs, is_keyed=key.is_named):
                continue
            make_error = dial_conflict if mine.value != theirs.value else opaque_conflict
            raise make_error(f"{key} is shared already", name)
        for name, value in later._values.items():
            first = self._values.get(name, False if name == "token" else _DEFAULTS.get(name))
            if first is not value and first != value:
                raise _conflict(key, name, first)


def same_protocol(one: Protocol, other: Protocol) -> bool:
    """True if both were made in the same way."""
    return one is other or comparable_protocol(one) == comparable_protocol(other)


def _conflict(key: ConnectionKey, name: str, first: Any) -> OptionConflict:
    if name == "user info":
        text = "user name or password in its URL: use those of the first"
    elif name == "scope":  # leaving it out means "process"
        text = f"scope=, and one connection has one: give it scope={first!r} as the first has"
    else:
        text = f"{name}=, and one connection has one: leave {name}= out, or give it what the first has"
    text = f"{key} is shared already with another {text}, or pass another key= for a connection apart"
    return OptionConflict(text, option=name)


def _comparable_dial_options(options: Mapping[str, Any]) -> dict[str, Comparable]:
    """The options that go into dial and login, those that were left out included."""
    factory, protocol = options.get("client_factory"), options.get("protocol")
    if factory is not None:
        made = {"client_factory": Comparable("a function", (factory,))}
        return made if protocol is None else {**made, "protocol": comparable_protocol(protocol)}
    return {
        "client_factory": Comparable(None),
        **comparable_dial_options(
            headers=check_headers(options.get("headers")),
            subprotocols=check_subprotocols(options.get("subprotocols", ())),
            protocol=Raw() if protocol is None else protocol,
            ssl=options.get("ssl"),
            proxy=options.get("proxy", True),
            server_hostname=options.get("server_hostname"),
            local_address=options.get("local_address"),
            pace=options.get("pace"),
            control_pace=options.get("control_pace"),
        ),
    }


def _comparable_token(value: Any) -> Any:
    # Its account is in the key. Functions aren't compared: a new one may well be the same source.
    if isinstance(value, IdentityToken):
        return "identity", secret_digest(value.key)
    return secret_digest(value) if isinstance(value, str) else callable(value)
