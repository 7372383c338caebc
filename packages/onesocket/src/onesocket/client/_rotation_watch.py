"""Starts rotations: by the age of the connection, and when the server announces its close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ..errors import DecodeError
from ._frame_receivers import Publisher
from ._options import Options
from ._rotation import Rotation
from ._user_code import USER_ERRORS

_AGE_JITTER: Final = 0.1
"""Fraction of the age that is subtracted at random, so that clients don't all come at once."""


class RotationWatch:
    """Calls `rotate` when a connection is as old as the option says, and upon a message that announces its end."""

    __slots__ = ("_has_reported", "_jitter", "_options", "_publisher", "_report", "_rotate", "_timer")

    def __init__(
        self,
        options: Options,
        publisher: Publisher,
        rotate: Callable[[], None],
        report: Callable[[BaseException, str], None],
        jitter: Callable[[], float],
    ) -> None:
        self._options = options
        self._publisher = publisher
        self._rotate = rotate
        self._report = report
        self._jitter = jitter
        self._has_reported = False
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<RotationWatch {'off' if self._timer is None else 'on'}>"

    @property
    def rotation(self) -> Rotation:
        """The option, whose functions may be wrapped after the client was made."""
        rotation = self._options.rotation
        if rotation is None:
            raise TypeError("a watch for rotations without the option")
        return rotation

    @property
    def publisher(self) -> Publisher:
        """The publisher of a connection: this one, if messages may announce the end."""
        return self._publisher if self.rotation.announced is None else self

    def begin(self) -> None:
        """Begin with a connection that is up."""
        age = self.rotation.age
        if age is not None:
            self.rotate_after(age * (1 - _AGE_JITTER * self._jitter()))

    def failed(self) -> None:
        """Try again later, as the rotation failed."""
        self.rotate_after(self.rotation.retry)

    def rotate_after(self, seconds: float) -> None:
        """Rotate after so many seconds."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fire)

    def stop(self) -> None:
        """Rotate no more, as the connection is down."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._rotate()

    def publish(self, message: Any) -> None:
        """Deliver a message, after looking for an announcement."""
        self._look(message)
        self._publisher.publish(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages, after looking for an announcement."""
        for message in batch:
            self._look(message)
        self._publisher.publish_many(batch)

    def _look(self, message: Any) -> None:
        announced = self.rotation.announced
        try:
            if announced is not None and announced(message):
                self.rotate_after(0)  # behind this turn's messages
        except DecodeError:
            pass  # of a message that another process decodes, and reports
        except USER_ERRORS as error:
            if not self._has_reported:
                self._has_reported = True
                self._report(error, "Rotation.announced")
