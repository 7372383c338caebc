"""The upstream of this process: one `Client`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

from ..client._client import Client
from ..client._gap import Gap
from ..client._status import Change, Status
from ..client._subscription import Subscription
from ..client._user_code import raise_in_loop
from ..errors import DeliveryUnknown, OnesocketError
from ..lifecycle._effects import Outcome
from ._upstream import UpstreamEvents
from ._upstream_subscriptions import UpstreamSubscriptions, check_subscription_support

# So many messages are taken in while the links are held back; beyond that, the socket isn't read.
_QUEUE_LIMIT = 4096
CANCELLED_IN_FLIGHT = "its sender let go of it while it was on its way: it may or may not have arrived"


class ClientUpstream:
    """Hands what a client receives to the sink, a batch for each turn of the loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._internals = client.internals
        self._internals.runner.is_shared = True
        self._stream: Subscription[Any] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._sink: UpstreamEvents | None = None
        self._go = asyncio.Event()
        self._go.set()
        self._wanted: Counter[Hashable] = Counter()
        self._upstream_subscriptions = UpstreamSubscriptions(
            self._internals.options.protocol, self._internals.sender, self._wanted_keys
        )

    def __repr__(self) -> str:
        return f"<ClientUpstream {self._client!r}{'' if self._go.is_set() else ' held'}>"

    @property
    def status(self) -> Status:
        """A frozen snapshot of this moment."""
        return self._client.status

    def attach(self, sink: UpstreamEvents) -> None:
        """Begin to hand on."""
        self._sink = sink
        self._client.on_change(self._changed)
        self._stream = self._client.subscribe(limit=_QUEUE_LIMIT, overflow="wait")
        self._pump = asyncio.get_running_loop().create_task(self._hand_on(sink, self._stream), name="onesocket feed")

    async def connect(self) -> Outcome:
        """As `Client.connect()`."""
        return await self._client.connect()

    async def reconnect(self) -> Outcome:
        """As `Client.reconnect()`."""
        return await self._client.reconnect()

    async def disconnect(self) -> None:
        """As `Client.disconnect()`."""
        await self._client.disconnect()

    async def send(self, message: Any, *, resend: bool = False) -> None:
        """As `Client.send()`, but a cancelled sender learns whether its message may have arrived."""
        delivery = self._client.send_nowait(message, resend=resend)
        try:
            await delivery
        except asyncio.CancelledError:
            if delivery.done:
                return await delivery  # its fate was known in that very moment
            unknown = delivery.earlier_unknown
            if self._internals.sender.withdraw(delivery) and unknown is None:
                raise
            raise DeliveryUnknown(CANCELLED_IN_FLIGHT) from unknown

    def add_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription more for each key."""
        check_subscription_support(self._internals.options.protocol)
        self._wanted.update(keys)
        self._upstream_subscriptions.changed()

    def remove_keys(self, keys: Iterable[Hashable]) -> None:
        """One subscription less for each key."""
        self._wanted.subtract(keys)
        self._upstream_subscriptions.changed()

    def _wanted_keys(self) -> frozenset[Hashable]:
        self._wanted = +self._wanted
        return frozenset(self._wanted)

    def _changed(self, change: Change) -> None:
        if self._sink is not None:
            self._sink.changed(change, self._client.status)

    def hold(self) -> None:
        """Hand on nothing until `release`."""
        self._go.clear()

    def release(self) -> None:
        """Go on."""
        self._go.set()

    def file_descriptors(self) -> Iterable[int]:
        """The socket of the present line."""
        return self._internals.runner.descriptors()

    async def aclose(self) -> None:
        """Close in order."""
        self._go.set()
        await self._client.aclose()
        if self._pump is not None:
            await asyncio.wait((self._pump,))

    async def _hand_on(self, sink: UpstreamEvents, stream: Subscription[Any]) -> None:
        batch: list[Any] = []
        while True:
            try:
                async for item in stream:
                    if not isinstance(item, Gap):
                        batch.append(item)
                        if len(stream):
                            continue
                    if batch:
                        ready, batch = batch, []
                        sink.messages(ready)
                    if isinstance(item, Gap):
                        sink.gap(item)
                    elif not self._go.is_set():
                        await self._go.wait()
            except OnesocketError as error:
                sink.failed(error)
            except (asyncio.CancelledError, GeneratorExit):
                raise  # the loop ends, or was closed
            except BaseException as error:  # noqa: BLE001 - Ctrl-C, say: the loop may go on, and so must the feed
                raise_in_loop(error)
                await asyncio.sleep(0)
            else:
                break
