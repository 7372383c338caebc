"""The errors of sharing; `onesocket.errors` defines them."""

from ..errors import ForkedCopy, OptionConflict

__all__ = ["ForkedCopy", "OptionConflict"]
