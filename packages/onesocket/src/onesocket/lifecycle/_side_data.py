"""The data of the side connection: the one beside the authoritative connection, while a rotation lasts."""

from __future__ import annotations

from typing import Final

from ..errors import OnesocketError
from ._events import TimerKind
from ._states import Side


class SideData:
    """Plain data of the side connection: a successor that is opened, or a connection that is being closed."""

    def __init__(self, *, closes_first: bool) -> None:
        self.closes_first: Final = closes_first
        """A rotation closes the connection first where the server refuses a second one beside it."""
        self.last_epoch: int = 0
        """The newest epoch that was given to an attempt, a successor's included."""
        self.side = Side.NONE
        """The state of the side connection, and ..."""
        self.side_epoch: int | None = None
        """... its epoch, and ..."""
        self.side_opened = False
        """... True once its upgrade went through, and ..."""
        self.side_closes_itself = False
        """... True while it is being closed by this side, and ..."""
        self.side_timer: tuple[TimerKind, int] | None = None
        self.side_timer_at = 0.0
        """... its timer."""
        self.rotation_error: OnesocketError | None = None
        """Reason for which the last successor was given up; None: it was not."""
