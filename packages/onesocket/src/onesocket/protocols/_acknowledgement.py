"""How the peer acknowledges messages: which id a message has, and which one an acknowledgement names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._record import record
from ..errors import InvalidOption
from ._plain_function import is_plain_function


@record
class Acknowledgement:
    """The acknowledgements of a service, for a `DurableOutbox`.

    `id_of`: a function of a message to be sent that returns its id (a str or an int); None: the message is not
    acknowledged, and so not kept on disk. `acknowledged_by`: a function of a received message that returns the id that
    it acknowledges, or refuses for good; None: it is no acknowledgement. Subscribers get that message, too.
    """

    id_of: Callable[[Any], str | int | None]
    acknowledged_by: Callable[[Any], str | int | None]

    def __post_init__(self) -> None:
        for name in ("id_of", "acknowledged_by"):
            function: object = getattr(self, name)
            if not is_plain_function(function):
                raise InvalidOption(f"Acknowledgement: {name} must be a plain function of a message, not {function!r}")
