"""The error of a frame that violates RFC 6455 or RFC 7692."""

from __future__ import annotations


class FrameError(Exception):
    """A violation of the peer; `code` is the close code that it is sent."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
