"""What a connection is made from, and whether two requests for it agree."""

from __future__ import annotations

import dataclasses
import inspect
import ssl as ssl_module
import weakref
from collections.abc import Iterable, Mapping
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any, Literal, TypedDict, cast

from ..client.client import Client
from ..client.options import Headers, header_list, subprotocol_list
from ..client.transport_choice import Compression
from ..lifecycle.outbox import OutboxLimits
from ..lifecycle.retry import ReconnectPolicy
from ..protocols.base import Protocol
from ..protocols.raw import Raw
from ..provider.line import IdentityToken
from ..transports.base import Transport
from .errors import OptionConflict
from .key import Key, digest

Scope = Literal["loop", "process", "host"]


class ClientOptions(TypedDict, total=False):
    """The options of `Client` that a connection has; what is left out doesn't conflict with anything."""

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


NAMES = frozenset(ClientOptions.__annotations__)
_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(Client).parameters.items()}


_first_marks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


class Given:
    """The options of one request, made comparable while they're fresh: a protocol changes as it is used."""

    def __init__(self, options: Mapping[str, Any], *, scope: Scope) -> None:
        # No token source: what was used for it may be somebody's link, which this would keep.
        self.options = {name: value for name, value in options.items() if name != "token"}
        # The scope first: where that differs, there's no use in naming an option of it.
        self._marks = {"scope": scope, **{name: _mark(name, value) for name, value in options.items()}}

    def __repr__(self) -> str:
        return f"<Given {', '.join(sorted(self._marks))}>"

    def check(self, later: Given, key: Key) -> None:
        """Raise `OptionConflict` if `later` wants another connection than this one."""
        for name, mark in later._marks.items():
            if name in self.options and self.options[name] is later.options.get(name):
                continue  # the very same object, however it changed since
            mine = self._marks[name] if name in self._marks else _mark(name, _DEFAULTS.get(name))
            if mine != mark:
                raise OptionConflict(f"{key} is shared already with another {_conflict(name, mine)}", option=name)


def same_protocol(one: Protocol, other: Protocol) -> bool:
    """Whether they were made in the same way."""
    return one is other or _mark_of_protocol(one) == _mark_of_protocol(other)


def _conflict(name: str, first: Any) -> str:
    apart = "or pass another key= for a connection apart"
    if name == "user info":
        return f"user name or password in its URL: use those of the first, {apart}"
    if name == "scope":  # leaving it out means "process"
        return f"scope=, and one connection has one: give it scope={first!r} as the first has, {apart}"
    return f"{name}=, and one connection has one: leave {name}= out, or give it what the first has, {apart}"


def _mark(name: str, value: Any) -> Any:
    match name:
        case "token":
            # Whose it is says the key. Functions aren't compared: a new one may well be the same source.
            if isinstance(value, IdentityToken):
                return "identity", digest(value.key)
            return digest(value) if isinstance(value, str) else callable(value)
        case "headers":
            return header_list(value)
        case "subprotocols":
            return subprotocol_list(value)
        case "protocol":
            return _mark_of_protocol(value)
        case "ssl":
            return None if value is None else id(value)
        case "open_timeout" | "close_timeout" | "ping_timeout" | "ping_interval" | "max_size" | "proxy":
            return value
        case "client" if isinstance(value, MethodType):
            return value  # of the same object, which may well change
        case _:
            return _likeness(value)


def _mark_of_protocol(protocol: Any) -> Any:
    """That of the moment when it was first seen: it changes as it is used."""
    if protocol is None:
        return _likeness(Raw())
    try:
        return _first_marks.setdefault(protocol, _likeness(protocol))
    except TypeError:  # it can't be hashed, or not be referred to weakly
        return _likeness(protocol)


def _likeness(value: Any, depth: int = 6) -> Any:
    """Equal for values that were made in the same way; whatever can't be compared is like itself alone."""
    if value is None or isinstance(value, str | bytes | int | float | type):
        return value
    if depth <= 0:
        return id(value)
    if isinstance(value, tuple | list):
        return tuple(_likeness(item, depth - 1) for item in value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, FunctionType):
        # A lambda at the same place of the same code is a new object each time, but the same function, as long as what
        # it refers to is the same.
        given = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        return value.__code__, tuple(map(_content, given)), tuple(map(_cell, value.__closure__ or ()))
    if isinstance(value, MethodType | BuiltinMethodType):
        return value.__name__, _likeness(value.__self__, depth - 1)
    kind = cast("type[object]", type(value))
    if kind.__module__.startswith("msgspec"):  # a decoder is what its type makes it
        return kind, repr(getattr(value, "type", None)), getattr(value, "strict", None)
    parts: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    if dataclasses.is_dataclass(value):
        parts |= {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    elif _says_what_it_equals(kind):
        return value
    if parts:
        return kind, tuple((name, _likeness(parts[name], depth - 1)) for name in sorted(parts))
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def _says_what_it_equals(kind: Any) -> bool:
    return kind.__eq__ is not object.__eq__ and kind.__hash__ not in (None, object.__hash__)


def _cell(cell: CellType) -> Any:
    try:
        return _content(cell.cell_contents)
    except ValueError:  # not bound yet
        return None


def _content(content: object) -> Any:
    return content if isinstance(content, str | bytes | int | float | None) else id(content)
