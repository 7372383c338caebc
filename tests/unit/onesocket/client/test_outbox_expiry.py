"""Messages that wait too long: each ends with an error at its age, unless it lasts."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from onesocket.client._delivery import Delivery
from onesocket.client._outbox_expiry import OutboxExpiry
from onesocket.errors import OnesocketError
from onesocket.lifecycle._outbox import Outbox, OutboxLimits
from onesocket.testing import run_virtual

Settled = list[tuple[float, Any, str]]


class ExpiringOutbox:
    """An outbox of messages that wait for ten seconds, and what becomes of them."""

    def __init__(self, remedy: str = "") -> None:
        self.outbox: Outbox[Delivery] = Outbox(OutboxLimits(10, 10.0))
        self.settled: Settled = []
        self.expiry = OutboxExpiry(self.outbox, self._settle, lambda: remedy)

    def _settle(self, deliveries: Iterable[Delivery], error: OnesocketError) -> None:
        now = asyncio.get_running_loop().time()
        self.settled += [(now, delivery.data, str(error)) for delivery in deliveries]

    def put(self, delivery: Delivery) -> None:
        """Add a message now."""
        self.outbox.put(delivery, asyncio.get_running_loop().time())
        self.expiry.watch()


def test_each_message_ends_at_its_own_age() -> None:
    async def main() -> Settled:
        waiting = ExpiringOutbox("call connect()")
        waiting.put(Delivery("a"))
        await asyncio.sleep(4)
        waiting.put(Delivery("b"))
        await asyncio.sleep(20)
        assert not waiting.expiry.is_watching
        return waiting.settled

    text = "this message waited 10 s for the connection (outbox=) and was not sent; call connect()"
    assert run_virtual(main) == [(10.0, "a", text), (14.0, "b", text)]


def test_a_message_that_left_or_a_timer_that_was_stopped_ends_nothing() -> None:
    async def main() -> Settled:
        waiting = ExpiringOutbox()
        waiting.put(Delivery("a"))
        waiting.outbox.take()
        waiting.expiry.watch()
        assert not waiting.expiry.is_watching
        waiting.put(Delivery("b"))
        waiting.expiry.stop()
        await asyncio.sleep(20)
        return waiting.settled

    assert run_virtual(main) == []


def test_a_lasting_message_waits_anew_among_those_that_expire() -> None:
    async def main() -> tuple[Settled, int]:
        waiting = ExpiringOutbox()
        lasting = Delivery(None)
        lasting.late = cast("Any", SimpleNamespace(is_lasting=True))
        waiting.put(lasting)
        waiting.put(Delivery("a"))
        await asyncio.sleep(30)
        waiting.expiry.stop()
        return waiting.settled, len(waiting.outbox)

    settled, left = run_virtual(main)
    assert [(at, data) for at, data, _ in settled] == [(10.0, "a")]
    assert left == 1
