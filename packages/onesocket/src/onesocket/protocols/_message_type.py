"""The type variables of messages: what a protocol decodes, and so what its clients and their streams give."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from typing_extensions import TypeVar

    M = TypeVar("M", default=Any)
    M_co = TypeVar("M_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    # In Python 3.11 and 3.12 only type checkers know defaults of type variables.
    M = TypeVar("M")
    M_co = TypeVar("M_co", covariant=True)
