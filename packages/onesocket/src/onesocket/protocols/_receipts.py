"""Receipts: messages that are sent back for received ones, which are delivered all the same. Sans-IO."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from ..wire._handshake import Data
from ._protocol import Action, Send

_log = logging.getLogger("onesocket")


class Receipts:
    """The receipts of one connection's messages, made by a function of the program."""

    __slots__ = ("_has_logged", "_make")

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make
        self._has_logged = False

    def __repr__(self) -> str:
        return f"<Receipts {self._make!r}>"

    def of(self, message: Any, encode: Callable[[Any], Data]) -> Iterable[Action]:
        """Return what sends the receipt of a message. A function that fails is logged once: there is no receipt."""
        try:
            receipt = self._make(message)
            return () if receipt is None else (Send(encode(receipt)),)
        except Exception:  # noqa: BLE001 - the program's own function may raise anything
            if not self._has_logged:
                self._has_logged = True
                _log.exception("receipt= failed on a message, which gets none")
            return ()
