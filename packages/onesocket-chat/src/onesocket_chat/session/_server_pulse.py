"""Asks a silent server for a sign of life: a connection to a frozen server stays open and looks like a quiet one."""

from __future__ import annotations

import asyncio
from typing import Final

from onesocket import OnesocketError
from onesocket_discord.rest import RequestLost, RestError, RestTimeout

from ._session_context import SessionContext, SessionPart

_ROUTE: Final = "/gateway"
"""The cheapest request: no account, and no row of a database."""


class ServerPulse(SessionPart):
    """Finds out within `interval` seconds that the server of an open connection has stopped to answer.

    Heartbeats find it, too, after up to twice the interval that the server asks for (82 s at Discord's 41 s), and then
    the connection is replaced; until then this is what the user sees.
    """

    def __init__(self, context: SessionContext, interval: float) -> None:
        super().__init__(context)
        self._interval = interval
        self._last_sign: float | None = None
        self._is_silent = False

    def __repr__(self) -> str:
        return f"<ServerPulse {'silent' if self._is_silent else 'alive'}>"

    @property
    def silence(self) -> float | None:
        """Seconds since the last sign of a server that does not answer; None if it answers, or is not connected."""
        if not self._is_silent or self._last_sign is None or not self._connection.is_connected:
            return None
        return asyncio.get_running_loop().time() - self._last_sign

    def alive(self) -> None:
        """Note a sign of life: an event, or an answer."""
        self._last_sign = asyncio.get_running_loop().time()
        if self._is_silent:
            self._is_silent = False
            self._store.notify()

    def check(self) -> None:
        """Ask, if nothing has come for half an interval; called once per second."""
        if not self._connection.is_connected:
            self._is_silent = False
            self._last_sign = None
            return
        now = asyncio.get_running_loop().time()
        if self._last_sign is None:
            self._last_sign = now
        if now - self._last_sign >= self._interval / 2:
            self._background.start("pulse", self._ask())

    async def _ask(self) -> None:
        """Ask once; an answer of any kind is a sign of life."""
        asked = self._last_sign
        try:
            await self._rest.request("GET", _ROUTE, timeout=self._interval / 2)
        except RestTimeout as error:
            is_silent = error.sent  # else it waited here, for a rate limit
        except (RestError, RequestLost):
            is_silent = False  # refused, or cut: both come from somebody who is awake
        except OnesocketError:
            is_silent = True
        else:
            is_silent = False
        if not is_silent:
            self.alive()
        elif asked == self._last_sign and not self._is_silent:
            self._is_silent = True
            self._store.notify()
