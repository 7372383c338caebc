"""Silence of one connection: it is open and answers PINGs, but brings no message any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ..errors import DecodeError, SilenceTimeout
from ..protocols._protocol import Fail
from ..transports._transport import TransportConnection
from ._fan_out import FanOut
from ._frame_receivers import Publisher
from ._options import Options
from ._user_code import USER_ERRORS, raise_in_loop

_LOOKS: Final = 4
"""Looks at the counters within `silence_timeout`: silence is found after that time, at most a quarter later."""
_CLOSE_CODE: Final = 4000
"""Neither 1000 nor 1001: the peer may keep the session of a connection that was not closed in order."""


class SilenceWatch:
    """Fails a connection that has brought no message, or none that `silence_of` names, for `silence_timeout` seconds.

    One timer looks at counters that are kept anyway. Without `silence_of` a part of a message, and one that can't be
    decoded, are signs of life, too; with it, each message is shown to it until it has named one since the last look.
    """

    __slots__ = (
        "_connection",
        "_fail",
        "_fan_out",
        "_has_named",
        "_has_reported",
        "_options",
        "_publisher",
        "_quiet",
        "_report",
        "_seen",
        "_timer",
    )

    def __init__(
        self, options: Options, fan_out: FanOut, report: Callable[[BaseException, str], None], publisher: Publisher
    ) -> None:
        self._options = options
        self._fan_out = fan_out
        self._publisher = publisher
        self._report = report
        self._has_reported = False
        self._connection: TransportConnection | None = None
        self._fail: Callable[[Fail], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._seen: int = 0
        self._has_named = False
        """True if a named message came since the last look."""
        self._quiet = 0
        """Number of looks in a row that found nothing."""

    @classmethod
    def of(
        cls, options: Options, fan_out: FanOut, report: Callable[[BaseException, str], None], publisher: Publisher
    ) -> SilenceWatch | None:
        """Returns the watch of a client, which hands messages on to `publisher`; None: its options want none."""
        return None if options.silence_timeout is None else cls(options, fan_out, report, publisher)

    def __repr__(self) -> str:
        return f"<SilenceWatch {'off' if self._timer is None else f'quiet={self._quiet}/{_LOOKS}'}>"

    def publish(self, message: Any) -> None:
        """Deliver a message, after showing it to `silence_of`."""
        if not self._has_named:
            self._show(message)
        self._publisher.publish(message)

    def publish_many(self, batch: list[Any]) -> None:
        """Deliver several messages, after showing them to `silence_of`."""
        for message in batch:
            if self._has_named:
                break
            self._show(message)
        self._publisher.publish_many(batch)

    def begin(self, connection: TransportConnection, fail: Callable[[Fail], None]) -> None:
        """Begin with a connection that is logged in."""
        timeout = self._options.silence_timeout
        if timeout is None:
            return
        self.stop()
        self._connection, self._fail = connection, fail
        self._seen, self._has_named, self._quiet = self._count(connection), False, 0
        self._look_after(timeout / _LOOKS)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._connection = self._fail = None

    def _look_after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._look, loop.time() + 2 * seconds, seconds)

    def _look(self, late: float, seconds: float) -> None:
        connection, fail = self._connection, self._fail
        if connection is None or fail is None:
            return
        self._look_after(seconds)
        seen: int = self._count(connection)
        if seen != self._seen or self._has_named or not connection.is_reading:
            self._seen, self._has_named, self._quiet = seen, False, 0
        elif asyncio.get_running_loop().time() < late:  # else this program was busy: messages may wait in the socket
            self._quiet += 1
            if self._quiet == _LOOKS:
                self.stop()
                fail(Fail(self._error(), _CLOSE_CODE, "no message for too long"))

    def _count(self, connection: TransportConnection) -> int:
        if self._options.silence_of is not None:
            return 0
        return self._fan_out.delivered + self._fan_out.losses.undecodable + connection.parts

    def _error(self) -> SilenceTimeout:
        which = "no message" if self._options.silence_of is None else "no message that silence_of names"
        return SilenceTimeout(f"{which} came for {self._options.silence_timeout:g} s (silence_timeout)")

    def _show(self, message: Any) -> None:
        names = self._options.silence_of
        try:
            self._has_named = names is None or bool(names(message))
        except DecodeError:
            pass  # of a message that another process decodes, and reports
        except USER_ERRORS as error:
            if not self._has_reported:
                self._has_reported = True
                self._report(error, "silence_of")
        except BaseException as error:  # noqa: BLE001 - Ctrl-C, for example: this turn has messages to deliver
            raise_in_loop(error)
