"""Assembles fragmented messages; the size limit and UTF-8 are checked with each fragment."""

from __future__ import annotations

import codecs
from typing import Final

from ..errors import InvalidText
from ..lifecycle._peer_errors import message_too_big
from ..wire._handshake import Data

_DECODER: Final = codecs.getincrementaldecoder("utf-8")


class Fragments:
    """Collects the fragments of one message at a time (RFC 6455, section 5.4)."""

    def __init__(self, max_size: int | None) -> None:
        self.under_way = False
        """True if a message has begun and is not complete."""
        self._max_size = max_size
        self._bytes = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None

    def __repr__(self) -> str:
        return f"<Fragments {'under way' if self.under_way else 'none'} size={len(self._bytes)}>"

    def begin(self, *, is_text: bool) -> None:
        """Begin a message."""
        self.clear()
        self.under_way = True
        self._decoder = _DECODER() if is_text else None

    def add(self, fragment: bytes, *, last: bool) -> Data | None:
        """Take one fragment; returns the message with the last one. Raises `MessageTooBig` or `InvalidText`."""
        if self._max_size is not None and len(self._bytes) + len(fragment) > self._max_size:
            raise message_too_big(f"a message is larger than max_size ({self._max_size} bytes), its fragments together")
        # One growing array: a list of tiny or empty fragments would take many times their size.
        self._bytes += fragment
        try:
            if self._decoder is not None:
                self._decoder.decode(fragment, last)  # so that the first invalid byte is found at once
            if not last:
                return None
            whole: Data = bytes(self._bytes) if self._decoder is None else self._bytes.decode()
        except UnicodeDecodeError:
            raise InvalidText("the server sent text that is not UTF-8") from None
        self.clear()
        return whole

    def clear(self) -> None:
        """Drop the fragments of an incomplete message."""
        self.under_way = False
        self._bytes = bytearray()
        self._decoder = None
