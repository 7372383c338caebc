"""The options of the commands that concern the flow of messages: its rate, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ._usage import fail

if TYPE_CHECKING:
    from ..protocols import Pace

PaceArgument = Annotated[
    str | None,
    typer.Option(
        metavar="N[/SECONDS]",
        help="How many messages the server takes in so many seconds (1), such as 5 or 120/60; more wait their turn.",
    ),
]

SilenceTimeoutArgument = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        help="Replace a connection that has brought no message for so long, even if it answers PINGs.",
    ),
]


def parse_pace(option: str, text: str | None) -> Pace | None:
    """Return the value of `pace=` for ``5``, ``5/1`` or ``120/60s``."""
    from ..errors import InvalidOption
    from ..protocols import Pace

    if text is None:
        return None
    messages, _, seconds = text.partition("/")
    try:
        return Pace(int(messages), float(seconds.removesuffix("s") or 1))
    except (ValueError, InvalidOption):
        fail(f"{option} wants N or N/SECONDS, such as 5 or 120/60, not {text!r}")
