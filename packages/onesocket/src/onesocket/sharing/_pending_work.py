"""Sends and requests that a connection performs for a client: once, also if they begin anew on another event loop."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

from ..client._delivery import DELIVERED, Delivery
from ..client._request_calls import earlier_fate
from ..errors import OnesocketError, RequestLost
from ._connection_view import ConnectionView
from ._upstream import Upstream

T = TypeVar("T")


class PendingSend:
    """Sends one message: a `Work` that accepts it once, and waits for its fate as often as it is called."""

    __slots__ = ("_delivery", "_message", "_resend", "_settled", "_upstream", "_view")

    def __init__(
        self, upstream: Upstream, view: ConnectionView, message: Any, *, resend: bool, settled: bool = False
    ) -> None:
        self._upstream = upstream
        self._view = view
        self._message = message
        self._resend = resend
        self._settled = settled
        self._delivery: Delivery | None = None

    def __repr__(self) -> str:
        return f"<PendingSend {self._delivery!r}>"

    def __call__(self) -> Coroutine[Any, Any, None] | None:
        """Accept the message, unless that is done; returns what waits for its fate, or None if it is sent."""
        delivery = self._delivery
        if delivery is None:
            delivery = self._delivery = self._upstream.post(self._message, resend=self._resend)
            if delivery is DELIVERED:
                self._view.sent += 1
                return None
        return self._finish(delivery)

    async def _finish(self, delivery: Delivery) -> None:
        await self._upstream.settle(delivery, settled=self._settled)
        self._view.sent += 1


class PendingAsk(Generic[T]):
    """Asks one request: a `Work` that sends it anew where it was not sent, or may be sent twice."""

    __slots__ = ("_due", "_lost", "_message", "_resend", "_timeout", "_upstream", "_view")

    def __init__(
        self, upstream: Upstream, view: ConnectionView, message: Any, *, timeout: float | None, resend: bool
    ) -> None:
        self._upstream = upstream
        self._view = view
        self._message = message
        self._timeout = timeout
        self._resend = resend
        self._due: float | None = None
        """End of the time-out, on the monotonic clock, once it has begun."""
        self._lost: RequestLost | None = None
        """The fate of an earlier copy."""

    def __repr__(self) -> str:
        return f"<PendingAsk {'asked before' if self._lost is not None else 'new'}>"

    def lost(self, error: OnesocketError) -> bool:
        """Take the fate of a request whose connection moves; True: it is asked anew."""
        if not self._resend or not isinstance(error, RequestLost):
            return False
        self._lost = error
        return True

    async def __call__(self) -> T:
        """Send the request, and return its answer."""
        left = self._timeout
        if left is not None:
            now = time.monotonic()
            self._due = self._due or now + left
            left = min(left, max(0.0, self._due - now))
        try:
            answer: T = await self._upstream.request(self._message, timeout=left, resend=self._resend)
        except OnesocketError as error:
            if self._lost is None or isinstance(error, RequestLost):
                raise
            raise earlier_fate(self._lost, error, self._timeout) from error
        self._view.sent += 1
        return answer
