"""One process on one of the hosts: joins the cluster as any program would, and obeys orders."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import onesocket
from onesocket import Gap, Raw, ReconnectPolicy
from onesocket.client import GapReason
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from tests.campaigns.chaos.numbered import NumberedReader
from tests.campaigns.chaos.worker import ChaosWorker, serve
from tests.campaigns.harness.orders import run_worker, setup, write_event

_PING: Final = 0.3
"""Seconds between PINGs, and until an unanswered one ends the connection."""


class ClusterReader(NumberedReader):
    """Messages ``number connection``: dense on each connection, and none of an older connection after a newer one's."""

    def __init__(self, epoch: int) -> None:
        super().__init__(epoch)
        self.connection = 0
        """The server's number of the connection of the last message."""
        self.changes = 0
        self.lasting = 0
        """Gap markers without a new connection: this process changed its source."""
        self._missed: int | None = 0
        """Number of messages that markers since the last message named; None: not all of them did."""
        self._is_told = False
        """True if a marker of a change of connections came since the last message."""

    def take(self, item: Any) -> None:
        """One item of the stream."""
        if isinstance(item, Gap):
            self._is_told |= item.reason is not GapReason.OVERFLOW
            known = item.reason is GapReason.OVERFLOW and item.missed is not None and self._missed is not None
            self._missed = self._missed + item.missed if known else None  # type: ignore[operator]
        else:
            number, connection = map(int, str(item).split())
            self._check(number, connection)
            self.connection, self._missed, self._is_told = connection, 0, False
        super().take(item)

    def _check(self, number: int, connection: int) -> None:
        if connection < self.connection:
            write_event("wrong", text=f"{number} of connection {connection} after one of {self.connection}")
        elif connection > self.connection:
            self.changes += 1
            if self.connection and not self._is_told:
                write_event("wrong", text=f"{number} of connection {connection}, and no marker of the change")
        else:
            self.lasting += self._is_told
            missing = number - self.last - 1
            if self._missed is not None and missing != self._missed:
                write_event("wrong", text=f"{missing} missing before {number}, and {self._missed} were told")

    @property
    def source(self) -> int:
        """The server's number of the connection: hosts may count epochs from different ones."""
        return self.connection


class ClusterWorker(ChaosWorker):
    """The shared client of this process."""

    reader_type = ClusterReader

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        url: str = given["engine"]
        make = NatsCoordinator if url.startswith("nats") else RedisCoordinator
        self._cluster = ClusterOptions(
            engine=make(url, timeout=given["timeout"]), lease=given["lease"], margin=given["margin"]
        )

    def joining(self) -> Any:
        """As any program would."""
        return onesocket.join(
            self._url,
            scope="cluster",
            cluster=self._cluster,
            host_options=self._host,
            protocol=Raw(),
            proxy=None,
            ping_interval=_PING,
            ping_timeout=_PING,
            open_timeout=1.0,
            reconnect=ReconnectPolicy(initial=0.05, cap=0.2, unreachable_cap=0.2),
        )

    def _figures(self) -> dict[str, Any]:
        return {**super()._figures(), "lasting": sum(getattr(reader, "lasting", 0) for reader in self._readers)}

    async def part(self, _: dict[str, Any]) -> dict[str, Any]:
        """The state of this process, and what its reader has seen."""
        status = self.client.status
        reader = self._readers[0]
        return {
            "state": status.state.value,
            "error": f"{type(status.last_error).__name__}: {status.last_error}",
            "connection": getattr(reader, "connection", 0),
        }


async def main(given: dict[str, Any]) -> None:
    """Serve orders until stdin ends or this process has left."""
    await serve(ClusterWorker(given))


if __name__ == "__main__":
    run_worker(lambda: asyncio.run(main(setup())))
