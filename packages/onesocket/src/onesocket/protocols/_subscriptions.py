"""The subscriptions of a service, described by functions of keys and messages."""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, cast

from .._record import record
from ..errors import EncodeError, InvalidOption
from ..wire._handshake import Data
from ._pace import Pace, check_pace
from ._plain_function import is_plain_function, kind_of
from ._protocol import Protocol, implements

if TYPE_CHECKING:
    from ._requests import Requests


@record
class SubscriptionAnswer:
    """An answer of the peer to a message that subscribes: it accepts keys, or refuses them.

    >>> SubscriptionAnswer(["AAPL"]), SubscriptionAnswer(["XYZ"], refused="no such symbol")
    (SubscriptionAnswer(keys=['AAPL'], refused=None), SubscriptionAnswer(keys=['XYZ'], refused='no such symbol'))
    """

    keys: Iterable[Hashable] | None = None
    """The keys that it is about; None: all of the oldest message that subscribes and has no answer yet."""
    refused: str | None = None
    """The reason of a refusal; None: the keys are accepted."""


@record(kw_only=True)
class Subscriptions:
    """The messages that subscribe a connection to keys, and the limits of the service.

    >>> Subscriptions(
    ...     subscribe=lambda keys: {"op": "subscribe", "args": keys},
    ...     unsubscribe=lambda keys: {"op": "unsubscribe", "args": keys},
    ...     key=lambda message: message.get("symbol"),
    ... )  # doctest: +ELLIPSIS
    Subscriptions(...)
    """

    subscribe: Callable[[list[Any]], Any]
    """Returns the message that subscribes to a list of keys; several as a tuple, or yielded one by one."""
    unsubscribe: Callable[[list[Any]], Any] | None = None
    """Returns the message that ends the subscriptions to a list of keys; several as for `subscribe`. None, with
    `requests`: `stop` of the protocol's `Requests` makes it, and each message subscribes to one key."""
    key: Callable[[Any], Hashable] | None = None
    """Returns the key of a received message, or None if it has none. Needed for ``subscribe(keys=…)``."""
    wildcard: Callable[[Any], Hashable] | None = None
    """Returns the key that asks for all messages like those of a key, such as `bars.*` for `bars.AAPL`. A stream of it
    gets the messages of all these keys."""
    ack: Callable[[Any], SubscriptionAnswer | Iterable[SubscriptionAnswer] | None] | None = None
    """Returns the answer to `subscribe` that a received message is, or several in a list; None for all others, answers
    to `unsubscribe` among them. Subscribers get the message, too."""
    batch: int | None = None
    """Greatest number of keys in one message; None: no limit."""
    limit: int | None = None
    """Greatest number of keys of one connection; None: no limit. One key more is refused (`SubscriptionRefused`)."""
    pace: Pace | None = None
    """Limit on the rate of the messages that subscribe and unsubscribe; other messages don't wait for them."""
    requests: bool = False
    """True: the messages are requests of the protocol (`requests=`), which share their ids with all others: each gets
    one of its own, and its answer accepts the keys, or refuses them (`refused` of `Requests`). In place of `ack`."""

    def __post_init__(self) -> None:
        for name in ("subscribe", "unsubscribe", "key", "wildcard", "ack"):
            function: object = getattr(self, name)
            is_optional = name in ("key", "wildcard", "ack") or (name == "unsubscribe" and self.requests)
            if not is_plain_function(function) and not (is_optional and function is None):
                either = " or None" if is_optional else ""
                raise InvalidOption(f"Subscriptions: {name} must be a plain function{either}, not {kind_of(function)}")
        if not isinstance(self.requests, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"Subscriptions: requests must be True or False, not {self.requests!r}")
        if self.requests and self.ack is not None:
            raise InvalidOption("Subscriptions: with requests=True, answers are found by their ids: leave ack= out")
        for name in ("batch", "limit"):
            value: object = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InvalidOption(
                    f"Subscriptions: {name} must be a whole number of keys >= 1, or None, not {value!r}"
                )
        check_pace("Subscriptions: pace", self.pace)


def check_subscriptions(subscriptions: object, requests: Requests | None) -> Subscriptions | None:
    """The declaration, or None; raises `InvalidOption`. `requests`: those of the same protocol."""
    if subscriptions is not None and not isinstance(subscriptions, Subscriptions):
        raise InvalidOption(
            f"subscriptions must be Subscriptions(subscribe=…, unsubscribe=…) or None, not {kind_of(subscriptions)}"
        )
    if subscriptions is not None and subscriptions.requests:
        if requests is None:
            raise InvalidOption("Subscriptions(requests=True) needs requests=Requests(…) beside it, for the ids")
        if subscriptions.unsubscribe is None and requests.stop is None:
            raise InvalidOption("Subscriptions(requests=True) needs unsubscribe=…, or a stop=… in requests=Requests(…)")
    return subscriptions


def subscriptions_of(protocol: Protocol[Any]) -> Subscriptions | None:
    """The declaration of a protocol, or one made of its methods; None: it describes no subscriptions."""
    declared: Subscriptions | None = protocol.subscriptions
    if declared is not None:
        return declared
    if not implements(protocol, Protocol.subscribe_frames, Protocol.unsubscribe_frames):
        return None
    return Subscriptions(
        subscribe=lambda keys: iter(protocol.subscribe_frames(frozenset(keys))),
        unsubscribe=lambda keys: iter(protocol.unsubscribe_frames(frozenset(keys))),
        key=protocol.key_of if implements(protocol, Protocol.key_of) else None,
    )


def frames_of(protocol: Protocol[Any], made: Any) -> list[Data]:
    """The frames of what a function of `Subscriptions` returned: one message, or several. Raises `EncodeError`."""
    encode = _checked_frame if protocol.subscriptions is None else protocol.encode
    return [encode(message) for message in messages_of(made)]


def messages_of(made: Any) -> Iterable[Any]:
    """The messages that a function of `Subscriptions` returned: one, or several."""
    several = isinstance(made, tuple | collections.abc.Iterator)
    return cast("Iterable[Any]", made) if several else (made,)


def answers_of(answer: Any) -> tuple[SubscriptionAnswer, ...]:
    """The answers that `ack` returned: one, several or none. Raises `TypeError`."""
    if answer is None:
        return ()
    answers = (answer,) if isinstance(answer, SubscriptionAnswer) else tuple(answer)
    for each in answers:
        if not isinstance(each, SubscriptionAnswer):
            raise TypeError(f"ack must return a SubscriptionAnswer, a list of them, or None, not {kind_of(each)}")
    return answers


def _checked_frame(frame: object) -> Data:
    if not isinstance(frame, str | bytes):
        raise EncodeError(f"a frame is str or bytes, not {type(frame).__name__}")
    return frame
