"""The options of codecs, and the checks of their kinds. Callers' arguments are `object`: not all use a type checker."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypedDict

from ..errors import InvalidOption, OnesocketError
from ..wire._header_fields import is_token
from ._pace import Pace
from ._plain_function import is_plain_function, kind_of
from ._subscriptions import Subscriptions
from ._token import TokenPlace

if TYPE_CHECKING:
    from ._acknowledgement import Acknowledgement
    from ._heartbeat import Heartbeat, HeartbeatSchedule
    from ._login import Login
    from ._receipts import Receipts
    from ._requests import Requests
    from ._snapshot import Snapshot


class CodecOptions(TypedDict, total=False):
    """The options of every codec; see `CodecProtocol`."""

    login: Login | None
    event: str | Callable[[Any], str | None] | None
    subprotocols: Iterable[str]
    token_place: TokenPlace | None
    pace: Pace | None
    control_pace: Pace | None
    heartbeat: Heartbeat | None
    on_ready: Callable[[], Iterable[Any]] | None
    acknowledges: Acknowledgement | None
    requests: Requests | None
    subscriptions: Subscriptions | None
    snapshot: Snapshot | None
    receipt: Callable[[Any], Any] | None
    closed: Callable[[int, str], OnesocketError | None] | None
    ghost_seconds: float


def check_login(login: object) -> Login | None:
    """A login, or None; raises `InvalidOption`."""
    if login is None:
        return None
    from ._login import Login  # noqa: PLC0415 - most protocols have none

    if not isinstance(login, Login):
        raise InvalidOption(f"login must be a Login, such as Login(request=…), or None, not {type(login).__name__}")
    return login


def check_event(event: object) -> Any:
    """The key of the event name or a plain function that finds it, or None; raises `InvalidOption`."""
    if event is None or isinstance(event, str) or is_plain_function(event):
        return event
    raise InvalidOption(
        f"event must be the key of the event name (a str), or a plain function of the message, not {kind_of(event)}"
    )


def check_subprotocols(names: Any) -> tuple[str, ...]:
    """Checked sub-protocol names; raises `InvalidOption`."""
    if isinstance(names, str):
        raise InvalidOption(f"subprotocols must be a list of names, such as [{names!r}], not one str")
    try:
        checked: tuple[str, ...] = tuple(names)
    except TypeError:
        raise InvalidOption(f"subprotocols must be a list of names, not {names!r}") from None
    for name in checked:
        if not is_token(name):
            raise InvalidOption(f"{name!r} is not a sub-protocol name (RFC 6455, section 4.1)")
        if checked.count(name) > 1:
            raise InvalidOption(f"subprotocols names one twice: {list(checked)}")
    return checked


def check_token_place(place: object) -> Any:
    """A place for the token, or None; raises `InvalidOption`."""
    if place is None or (callable(getattr(place, "put", None)) and not isinstance(place, type)):
        return place
    raise InvalidOption(
        f"token_place must be a place such as TokenHeader('X-Key') or TokenQuery('token') (an instance), or None, "
        f"not {kind_of(place)}"
    )


def check_on_ready(on_ready: object) -> Any:
    """A plain function, or None; raises `InvalidOption`."""
    if on_ready is None or is_plain_function(on_ready):
        return on_ready
    raise InvalidOption(
        f"on_ready must be a plain function that returns the messages to send on a new connection, not {on_ready!r}"
    )


def check_function(name: str, function: object) -> Any:
    """A plain function, or None; raises `InvalidOption`."""
    if function is None or is_plain_function(function):
        return function
    raise InvalidOption(f"{name} must be a plain function or None, not {kind_of(function)}")


def make_heartbeats(heartbeat: object) -> HeartbeatSchedule | None:
    """The schedule of a heartbeat, or None; raises `InvalidOption`."""
    if heartbeat is None:
        return None
    from ._heartbeat import Heartbeat, HeartbeatSchedule  # noqa: PLC0415 - as above

    if not isinstance(heartbeat, Heartbeat):
        raise InvalidOption(f"heartbeat must be a Heartbeat(...) or None, not {heartbeat!r}")
    return HeartbeatSchedule(heartbeat)


def make_receipts(receipt: object) -> Receipts | None:
    """The receipts that a function makes, or None; raises `InvalidOption`."""
    if receipt is None:
        return None
    from ._receipts import Receipts  # noqa: PLC0415 - as above

    return Receipts(check_function("receipt", receipt))


def check_snapshot_option(snapshot: object) -> Snapshot | None:
    """A declaration of what late readers begin with, or None; raises `InvalidOption`."""
    if snapshot is None:
        return None
    from ._snapshot import check_snapshot  # noqa: PLC0415 - as above

    return check_snapshot(snapshot)


def check_acknowledges(acknowledges: object) -> Acknowledgement | None:
    """An acknowledgement, or None; raises `InvalidOption`."""
    if acknowledges is None:
        return None
    from ._acknowledgement import Acknowledgement  # noqa: PLC0415 - as above

    if not isinstance(acknowledges, Acknowledgement):
        raise InvalidOption(
            f"acknowledges must be an Acknowledgement(id_of=…, acknowledged_by=…) or None, not {acknowledges!r}"
        )
    return acknowledges


def check_request_options(requests: object) -> Requests | None:
    """The requests of a service, or None; raises `InvalidOption`."""
    if requests is None:
        return None
    from ._requests import check_requests  # noqa: PLC0415 - as above

    return check_requests(requests)


def check_ghost_seconds(seconds: object) -> float:
    """A number of seconds, 0 or more; raises `InvalidOption`."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise InvalidOption(f"ghost_seconds must be a finite number of seconds, 0 or more, not {seconds!r}")
    return seconds


def check_decode(decode: object) -> Any:
    """A plain function of a frame; raises `InvalidOption`."""
    if is_plain_function(decode):
        return decode
    raise InvalidOption(f"decode must be a plain function that makes a message of a frame, not {kind_of(decode)}")


def check_bool(name: str, value: object) -> bool:
    """True or False; raises `InvalidOption`."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be True or False, not {value!r}")
    return value
