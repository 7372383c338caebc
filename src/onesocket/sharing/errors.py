"""What can go wrong between those who share one connection."""

from __future__ import annotations

from ..errors import InvalidOption, UsageError


class OptionConflict(InvalidOption):
    """This key is shared already, in this process or another one, with another value of `option`."""

    def __init__(self, text: str, *, option: str) -> None:
        super().__init__(text)
        self.option = option


class ForkedCopy(UsageError, RuntimeError):
    """This belongs to the parent process; a forked child joins anew."""

    def __init__(
        self, text: str = "this was made before the fork and belongs to the parent process; join again in this one"
    ) -> None:
        super().__init__(text)
