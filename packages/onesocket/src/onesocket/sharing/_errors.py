"""What can go wrong between those who share one connection."""

from __future__ import annotations

from ..errors import ForkedCopy, InvalidOption

__all__ = ["ForkedCopy", "OptionConflict"]


class OptionConflict(InvalidOption):
    """The key is shared already, in this process or another one, with another value of `option`."""

    def __init__(self, text: str, *, option: str) -> None:
        super().__init__(text)
        self.option = option
