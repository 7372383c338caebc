"""What a connection is made from, and whether two requests for it agree."""

from __future__ import annotations

import inspect
import ssl as ssl_module
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import Any, Final, Literal, TypedDict

from ..client._client import Client
from ..client._dial_options import DIAL_OPTIONS, comparable_dial_options, comparable_protocol
from ..client._identity_token import IdentityToken
from ..client._options import Headers, check_headers, check_subprotocols
from ..client._transport_choice import Compression
from ..lifecycle._outbox import OutboxLimits
from ..lifecycle._retry import ReconnectPolicy
from ..protocols._fingerprint import comparable_form
from ..protocols._protocol import Protocol
from ..protocols._raw import Raw
from ..transports._transport import Transport
from ._connection_key import ConnectionKey, secret_digest
from ._errors import OptionConflict
from ._option_digests import dial_conflict

Scope = Literal["loop", "process", "host"]


class ClientOptions(TypedDict, total=False):
    """The options of `Client` that a connection has; what is left out conflicts only if it's in `DIAL_OPTIONS`."""

    protocol: Protocol | None
    headers: Headers | None
    subprotocols: Iterable[str]
    ssl: ssl_module.SSLContext | None
    proxy: str | None
    open_timeout: float
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float
    max_size: int | None
    reconnect: ReconnectPolicy | None
    outbox: OutboxLimits | None
    compression: Compression | None
    transport: Transport | None


OPTION_NAMES = frozenset(ClientOptions.__annotations__)
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(Client).parameters.items()}
_DIAL_OPTION_NAMES: Final = ("client", *DIAL_OPTIONS)


class RequestedOptions:
    """The options of one request, made comparable while they're fresh: a protocol changes as it is used."""

    def __init__(self, options: Mapping[str, Any], *, scope: Scope) -> None:
        # No token source: what was used for it may be somebody's link, which this would keep.
        self.options = {name: value for name, value in options.items() if name != "token"}
        self._scope = scope
        self._dial = _comparable_dial_options(options)
        given = (name for name in options if name not in _DIAL_OPTION_NAMES)
        self._marks = {name: _comparable_value(name, options[name]) for name in given}

    def __repr__(self) -> str:
        return f"<Given {', '.join(sorted(self.options))}>"

    def set_protocol(self, protocol: Protocol) -> None:
        """The client that is built from them uses this protocol, which `client=` may have brought."""
        self._dial.setdefault("protocol", comparable_protocol(protocol))

    def check(self, later: RequestedOptions, key: ConnectionKey) -> None:
        """Raise `OptionConflict` if `later` wants another connection than this one."""
        # The scope first: where that differs, there's no use in naming an option of it.
        if self._scope != later._scope:
            raise _conflict(key, "scope", self._scope)
        for name in _DIAL_OPTION_NAMES:
            # An option of `client=` is only known to the client that it makes: that stands for all of them.
            both = name in self._dial and name in later._dial
            if both and not self._is_same_object(name, later) and self._dial[name] != later._dial[name]:
                raise dial_conflict(f"{key} is shared already", name)
        for name, mark in later._marks.items():
            mine = self._marks[name] if name in self._marks else _comparable_value(name, _DEFAULTS.get(name))
            if mine != mark and not self._is_same_object(name, later):
                raise _conflict(key, name, mine)

    def _is_same_object(self, name: str, later: RequestedOptions) -> bool:
        """Whether both sets of options have the very same object here, however it changed since."""
        mine = self.options.get(name)
        return mine is not None and mine is later.options.get(name)


def same_protocol(one: Protocol, other: Protocol) -> bool:
    """Whether they were made in the same way."""
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


def _comparable_dial_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that go into dial and login, those that were left out included."""
    client, protocol = options.get("client"), options.get("protocol")
    if client is not None:
        # A method is itself, as long as its object is the same: that may well change.
        made: dict[str, Any] = {"client": client if isinstance(client, MethodType) else comparable_form(client)}
        return made if protocol is None else {**made, "protocol": comparable_protocol(protocol)}
    return {
        "client": None,
        **comparable_dial_options(
            headers=check_headers(options.get("headers")),
            subprotocols=check_subprotocols(options.get("subprotocols", ())),
            protocol=Raw() if protocol is None else protocol,
            ssl=options.get("ssl"),
            proxy=options.get("proxy"),
        ),
    }


def _comparable_value(name: str, value: Any) -> Any:
    if name == "token":
        # Whose it is says the key. Functions aren't compared: a new one may well be the same source.
        if isinstance(value, IdentityToken):
            return "identity", secret_digest(value.key)
        return secret_digest(value) if isinstance(value, str) else callable(value)
    return comparable_form(value)
