"""The data of the side connection: the one beside the authoritative connection, while a rotation lasts."""

from __future__ import annotations

from ..errors import OnesocketError
from ._events import TimerKind
from ._states import Side


class SideData:
    """Plain data of the side connection: a successor that is opened, or a connection that is being closed.

    These are attributes of the class until a rotation begins: an instance with few attributes shares the keys of its
    dictionary.
    """

    closes_first = False
    """A rotation closes the connection first where the server refuses a second one beside it."""
    side = Side.NONE
    """The state of the side connection, and ..."""
    side_epoch: int | None = None
    """... its epoch, and ..."""
    side_opened = False
    """... True once its upgrade went through, and ..."""
    side_closes_itself = False
    """... True while it is being closed by this side, and ..."""
    side_timer: tuple[TimerKind, int] | None = None
    side_timer_at = 0.0
    """... its timer."""
    rotation_error: OnesocketError | None = None
    """Reason for which the last successor was given up; None: it was not."""

    def __init__(self, *, closes_first: bool) -> None:
        if closes_first:
            self.closes_first = True
