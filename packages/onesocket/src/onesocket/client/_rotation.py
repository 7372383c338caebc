"""The option `rotation=`: a connection is replaced by a successor without a hole in its messages."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InvalidOption
from ..protocols._protocol import Protocol, implements


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Replacement of a connection by a successor, which is up and has caught up before the old one is closed.

    The successor is opened, logged in and subscribed beside the connection; then both deliver for `overlap` seconds,
    each message once. So the service must allow a second connection for that time. By `client.rotate()`, by age, or
    when the server announces that it will close.
    """

    identity: Callable[[Any], Hashable]
    """A function of a received message: its identity, which is equal for the two copies of one message and differs
    between messages, such as a sequence number with its channel. None: it has none (an answer, a greeting), and is
    delivered from both connections. It must return at once; what it raises is reported, and counts as None."""
    age: float | None = None
    """Seconds after which a connection is replaced, or up to a tenth less, at random; None: at no age."""
    announced: Callable[[Any], bool] | None = None
    """A function that is true of a message with which the server announces its close; None: there is none."""
    overlap: float = 1.0
    """Seconds for which the successor has been subscribed when it takes over: more than messages may differ in their
    times on the two connections."""
    close_first: bool = True
    """True: where the server refuses a second connection (by a limit on connections), the first is closed before the
    next is opened, and a `Gap` follows; False: the rotation fails, and the connection stays."""
    retry: float = 60.0
    """Seconds until a rotation by age or announcement that failed is tried again."""

    def __post_init__(self) -> None:
        _check_function("identity", self.identity)
        if self.announced is not None:
            _check_function("announced", self.announced)
        if self.age is not None:
            _check_seconds("age", self.age)
        _check_seconds("overlap", self.overlap)
        _check_seconds("retry", self.retry)
        close_first: Any = self.close_first
        if not isinstance(close_first, bool):
            raise InvalidOption(f"Rotation: close_first must be True or False, not {close_first!r}")

    def wrap(self, decode: Callable[[Any], Any]) -> Rotation:
        """The same for messages that are not decoded yet."""
        identity, announced = self.identity, self.announced

        def identity_of(message: Any) -> Hashable:
            return identity(decode(message))

        def is_announced(message: Any) -> bool:
            return announced is not None and announced(decode(message))

        return replace(self, identity=identity_of, announced=None if announced is None else is_announced)


def check_rotation(value: object, protocol: Protocol) -> Rotation | None:
    """A rotation that this protocol allows, or None; raises `InvalidOption`."""
    if value is None:
        return None
    if not isinstance(value, Rotation):
        raise InvalidOption(f"rotation must be a Rotation(identity=…) or None, not {value!r}")
    if not implements(protocol, Protocol.successor):
        kind = type(protocol).__name__
        raise InvalidOption(
            f"rotation= needs a protocol for the second connection, and {kind} has no successor(): define it to return "
            "another instance, if its sessions allow two connections at a time"
        )
    return value


def _check_function(name: str, value: object) -> None:
    if not callable(value) or inspect.iscoroutinefunction(value):
        raise InvalidOption(f"Rotation: {name} must be a plain function of a message, not {value!r}")


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise InvalidOption(f"Rotation: {name} must be a finite number of seconds above 0, not {value!r}")
