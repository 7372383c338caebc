"""The caller's end of a request: the checks of its arguments, its frame, and the answer as the caller gets it."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import InvalidOption, OnesocketError, RequestLost, RequestTimeout
from ..protocols._protocol import Protocol
from ..wire._handshake import Data
from ._options import check_flag, check_timeout
from ._user_code import encode_message

if TYPE_CHECKING:
    from ..protocols._requests import RequestId, Requests
    from ._fan_out import FanOut
    from ._options import Options
    from ._request_tracker import RequestTracker
    from ._sender import Sender

MakeFrame: TypeAlias = "Callable[[RequestId], Data]"
"""A function that makes the frame of a request with this id."""
MakeStop: TypeAlias = "Callable[[RequestId, Callable[[], RequestId]], Data | None]"
"""A function that makes the frame that stops the stream of the request with this id; it may ask for another id."""


class AnswerSink(typing.Protocol):
    """Takes a stream of answers."""

    def take(self, answer: Any) -> None:
        """Take an answer, the last one and a refusal as well."""

    def fail(self, error: OnesocketError) -> None:
        """End with this error."""

    def end(self) -> None:
        """End after the last answer."""


ANSWER_TIMEOUT: Final = 10.0
"""Seconds that `request()` waits for its answer, unless told otherwise."""
ASKER_GONE: Final = (
    "the client that asked was closed before the answer came: the request may or may not have been carried out; ask "
    "again only if that does no harm"
)
_REMEDY: Final = (
    "request() needs a protocol that tells answers from other messages, such as Json(requests=Requests(id='id'))"
)


def make_request_tracker(
    options: Options,
    fan_out: FanOut,
    sender: Sender,
    *,
    remind: Callable[[], None],
    report: Callable[[BaseException, str], None],
) -> RequestTracker | None:
    """Return the requests of a client; None: its protocol declares none."""
    if options.protocol.requests is None:
        return None
    from ._request_tracker import RequestTracker  # noqa: PLC0415 - most protocols declare none

    return RequestTracker(options, fan_out, sender, remind=remind, report=report)


def needed(requests: RequestTracker | None) -> RequestTracker:
    """The requests of a client. Raises `InvalidOption` if it has none."""
    if requests is None:
        raise InvalidOption(_REMEDY)
    return requests


def requests_of(protocol: Protocol) -> Requests:
    """The requests that a protocol declares. Raises `InvalidOption` if there are none."""
    if protocol.requests is None:
        raise InvalidOption(_REMEDY)
    return protocol.requests


def check_request(protocol: Protocol, timeout: object, resend: object) -> float | None:
    """The checked time-out of a `request()`. Raises `InvalidOption`."""
    requests_of(protocol)
    check_flag("resend", resend)
    return check_timeout(timeout)


def frame_maker(protocol: Protocol, message: Any) -> MakeFrame:
    """The function that makes the frame of a request for its id."""
    put = requests_of(protocol).put

    def make(id_: RequestId) -> Data:
        return encode_message(protocol, put(message, id_))

    return make


def stop_maker(protocol: Protocol, message: Any) -> MakeStop:
    """The function that makes the frame that stops the stream of answers to a request."""
    put_stop = requests_of(protocol).put_stop

    def make(id_: RequestId, own_id: Callable[[], RequestId]) -> Data | None:
        stop = put_stop(message, id_, own_id)
        return None if stop is None else encode_message(protocol, stop)

    return make


def timed_out(timeout: float | None, *, was_sent: bool) -> RequestTimeout:
    """Return the error of a request whose time is over."""
    fate = "no answer came" if was_sent else "the request waited for the connection, and was not sent"
    return RequestTimeout(f"{fate}: {timeout:g} s (timeout=) are over", was_sent=was_sent)


def earlier_fate(lost: RequestLost, error: OnesocketError, timeout: float | None) -> OnesocketError:
    """Return the error of a request that was lost, and sent again in vain: it may have been carried out before."""
    return timed_out(timeout, was_sent=True) if isinstance(error, RequestTimeout) else lost


def finish_request(protocol: Protocol, message: Any, answer: Any) -> Any:
    """Return the answer with the id that the caller had given. Raises the error of an answer that refuses."""
    requests = requests_of(protocol)
    answer = requests.restore(answer, requests.own_id(message))
    refusal = requests.refusal(answer)
    if refusal is not None:
        raise refusal
    return answer
