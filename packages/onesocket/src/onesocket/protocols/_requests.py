"""Requests of a service: how an id is put into a message and read from an answer, and which answers refuse or end."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from ..errors import InvalidOption, OnesocketError, RequestRefused, UsageError
from ._plain_function import is_plain_function, kind_of

RequestId: TypeAlias = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The requests of a service, described by the key of their ids or by functions of messages.

    >>> Requests(
    ...     id="req_id",
    ...     refused=lambda answer: answer.get("error"),
    ... )  # doctest: +ELLIPSIS
    Requests(...)
    """

    id: str = "id"
    """The key (or attribute) of the id, in a request and in its answers."""
    make_id: Callable[[int], RequestId] = int
    """A function of a request's number (1, 2, 3 …) that returns its id: `int` or `str`, or one of your own."""
    id_of: Callable[[Any], RequestId | None] | None = None
    """A function of a received message that returns the id of the request that it answers, or None for others, where
    the key alone doesn't tell; with `with_id`, also of a message to be sent."""
    with_id: Callable[[Any, RequestId], Any] | None = None
    """A function of a message and an id that returns a copy of the message with this id, instead of `id`."""
    refused: Callable[[Any], str | OnesocketError | None] | None = None
    """Reason of an answer that refuses the request (a text, or an error of your own kind), or None for others."""
    last: Callable[[Any], bool] | None = None
    """True for the message that ends a stream of answers, and is none itself; None: only a refusal ends one."""
    stop: Callable[[Any], Any] | None = None
    """A function of a request as it was sent that returns the message that stops its stream of answers, or None. A
    message without an id gets one of its own. None: a stream that is closed is not stopped."""

    def __post_init__(self) -> None:
        if not _is_name(self.id):
            raise InvalidOption(f"Requests: id must be the key of the id (a str), not {self.id!r}")
        for option in ("make_id", "id_of", "with_id", "refused", "last", "stop"):
            function: object = getattr(self, option)
            is_needed = option == "make_id"
            if (is_needed or function is not None) and not is_plain_function(function):
                kind = "a plain function" if is_needed else "a plain function or None"
                raise InvalidOption(f"Requests: {option} must be {kind}, not {kind_of(function)}")

    def find(self, message: Any) -> RequestId | None:
        """Return the id of a received message; None: it is no answer."""
        if self.id_of is None:
            return self._at_key(message)
        found: object = self.id_of(message)
        return found if isinstance(found, (str, int)) and found.__class__ is not bool else None

    def own_id(self, request: Any) -> RequestId | None:
        """Return the id that the caller put into a request; None: there is none."""
        return self._at_key(request) if self.with_id is None else self.find(request)

    def _at_key(self, message: Any) -> RequestId | None:
        get: Any = getattr(message, "get", None)
        found: object = get(self.id) if callable(get) else getattr(message, self.id, None)
        return found if isinstance(found, (str, int)) and found.__class__ is not bool else None

    def put(self, message: Any, id_: RequestId) -> Any:
        """Return a copy of a message with this id. Raises `UsageError` for a type whose copies can't be made."""
        if self.with_id is not None:
            return self.with_id(message, id_)
        if isinstance(message, dict):
            return {**cast("dict[str, Any]", message), self.id: id_}
        changed: dict[str, Any] = {self.id: id_}
        try:
            if hasattr(message, "__struct_fields__"):
                return sys.modules["msgspec"].structs.replace(message, **changed)
            if dataclasses.is_dataclass(message) and not isinstance(message, type):
                return dataclasses.replace(message, **changed)
        except TypeError as error:
            raise UsageError(f"a request of type {type(message).__name__} has no field {self.id!r}: {error}") from error
        raise UsageError(
            f"a request of type {type(message).__name__} can't get an id: requests= knows dicts, dataclasses and "
            "msgspec's structs; give Requests(id_of=…, with_id=…) for others"
        )

    def put_stop(self, message: Any, id_: RequestId, own_id: Callable[[], RequestId]) -> Any:
        """Return the message that stops the stream of this request, or None; `own_id` makes an id for it."""
        stop = None if self.stop is None else self.stop(self.put(message, id_))
        return stop if stop is None or self.own_id(stop) is not None else self.put(stop, own_id())

    def restore(self, answer: Any, asked: RequestId | None) -> Any:
        """Return an answer with the id that its caller had put into the request, if any."""
        if asked is None:
            return answer
        if type(answer) is dict and self.with_id is None:  # it was decoded for this caller alone
            mine = cast("dict[str, Any]", answer)
            mine[self.id] = asked
            return mine
        return self.put(answer, asked)

    def refusal(self, answer: Any) -> OnesocketError | None:
        """Return the typed error if `answer` refuses the request."""
        why = self.refused(answer) if self.refused is not None else None
        if why is None or isinstance(why, OnesocketError):
            return why
        return RequestRefused(f"the request was refused: {why}", answer=answer)

    def ends(self, answer: Any) -> bool:
        """Check whether no message with the same id follows this one."""
        return (self.last is not None and bool(self.last(answer))) or (
            self.refused is not None and self.refused(answer) is not None
        )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def check_requests(requests: object) -> Requests | None:
    """The requests of a service, or None; raises `InvalidOption`."""
    if requests is not None and not isinstance(requests, Requests):
        raise InvalidOption(f"requests must be a Requests(...) or None, not {requests!r}")
    return requests
