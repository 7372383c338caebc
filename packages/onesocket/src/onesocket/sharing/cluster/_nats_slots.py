"""Times at which logins may begin, in NATS: a message for each name, in a stream for all clusters of a prefix."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from ...errors import EngineUnavailable, EngineUnusable
from ._nats_client import NatsClient
from ._nats_connection import NatsMessage
from ._nats_errors import NO_RESPONDERS, NO_STREAM, NatsRefused
from ._nats_records import EXPECTED, ROLLUP, TTL, StreamMessage
from ._nats_streams import ensure_streams, slot_stream

_ATTEMPTS: Final = 50
"""Each member that is first costs another one an attempt."""


class NatsSlots:
    """Reserves login slots for one member."""

    def __init__(self, client: NatsClient, prefix: str, where: str, replicas: int) -> None:
        self._client = client
        self._where = where
        self._config = slot_stream(prefix, replicas)
        self._stream: str = self._config["name"]
        self._subject = f"{prefix}.slots."

    def __repr__(self) -> str:
        return f"<NatsSlots {self._stream}>"

    async def reserve(self, name: str, period: float, delay: float) -> float:
        """As `Coordinator.reserve_slot`."""
        try:
            return await self._reserve(self._subject + name, period, delay)
        except NatsRefused as refused:
            if refused.code not in (NO_STREAM, NO_RESPONDERS):
                raise
        await ensure_streams(self._client, self._where, self._config, make=True)
        return await self._reserve(self._subject + name, period, delay)

    async def _reserve(self, subject: str, period: float, delay: float) -> float:
        for _ in range(_ATTEMPTS):
            now = datetime.fromisoformat((await self._client.ask(f"STREAM.INFO.{self._stream}"))["ts"]).timestamp()
            stored = await self._client.newest(self._stream, subject)
            free_at = now if stored is None else _time_in(stored)
            slot = max(now + delay, free_at)
            headers = {
                **ROLLUP,
                EXPECTED: str(0 if stored is None else stored.sequence),
                TTL: f"{math.ceil(slot + period - now)}s",  # the server counts whole ones
            }
            try:
                await self._client.write(NatsMessage(subject, f"{slot + period:.6f}".encode(), headers))
            except NatsRefused as refused:
                if refused.is_wrong_sequence:
                    continue  # another member was first, or the message's time is up
                raise
            return slot - now
        raise EngineUnavailable(f"{self._where}: others reserved slots {_ATTEMPTS} times meanwhile")


def _time_in(stored: StreamMessage) -> float:
    try:
        return float(stored.data)
    except ValueError:
        raise EngineUnusable(f"the message on {stored.subject} is none of onesocket's") from None
