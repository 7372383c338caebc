"""The data of the side connection: the one beside the authoritative connection, while a rotation lasts."""

from __future__ import annotations

from typing import Final

from ..errors import OnesocketError
from ._events import TimerKind
from ._states import Side

GHOST_SECONDS: Final = 10.0
"""Seconds for which a service may count a connection after its end, where the protocol names no others."""


class SideData:
    """Plain data of the side connection: a successor that is opened, or a connection that is being closed.

    These are attributes of the class until a rotation begins, or an option says otherwise: an instance with few
    attributes shares the keys of its dictionary.
    """

    ghost_seconds = GHOST_SECONDS
    """Seconds for which the server may count a connection after its end."""
    closes_first = False
    """A rotation closes the connection first where the server refuses a second one beside it."""
    side = Side.NONE
    """The state of the side connection, and ..."""
    side_epoch: int | None = None
    """... its epoch, and ..."""
    side_opened = False
    """... True once its upgrade went through, and ..."""
    side_has_place = False
    """... True while the server counts it, and ..."""
    side_timer: tuple[TimerKind, int] | None = None
    side_timer_at = 0.0
    """... its timer."""
    rotation_error: OnesocketError | None = None
    """Reason for which the last successor was given up; None: it was not."""

    def __init__(self, *, closes_first: bool, ghost_seconds: float) -> None:
        if ghost_seconds != GHOST_SECONDS:
            self.ghost_seconds = ghost_seconds
        if closes_first:
            self.closes_first = True
