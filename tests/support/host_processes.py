"""Upstreams of scope "host", each of which stands for a process of one machine."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from onesocket import Client, Gap, OnesocketError, Raw, ReconnectPolicy, State, Status
from onesocket.client._status import Change
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._upstream import ConnectionSpec
from onesocket.sharing.host import HostOptions, HostUpstream

QUICK_POLICY: Final = ReconnectPolicy(initial=0.001, cap=0.005)


class HostSink:
    """Keeps the events of one process."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.gaps: list[Gap] = []
        self.states: list[State] = []
        self.failures: list[OnesocketError] = []
        self._news = asyncio.Event()

    def messages(self, batch: list[Any]) -> None:
        self.received += batch
        self._news.set()

    def gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self._news.set()

    def changed(self, change: Change, status: Status) -> None:
        del change
        self.states.append(status.state)
        self._news.set()

    def failed(self, error: OnesocketError) -> None:
        self.failures.append(error)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds after an event."""
        async with asyncio.timeout(10):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def until_state(self, state: State) -> None:
        """Wait until this is the present state."""
        await self.until(lambda: self.states[-1:] == [state])


def make_upstream(
    url: str,
    directory: Path,
    policy: ReconnectPolicy | None = QUICK_POLICY,
    *,
    key: str | None = None,
    host: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[HostUpstream, HostSink]:
    """Make the upstream of another process, with its sink."""
    protocol = Raw()
    upstream = HostUpstream(
        ConnectionSpec(
            key=ConnectionKey.of(url, key=key),
            options={"reconnect": policy, **options},
            protocol=protocol,
            make_client=lambda: Client(url, protocol=protocol, reconnect=policy),
            host_options=HostOptions(directory=str(directory), **(host or {})),
        )
    )
    sink = HostSink()
    upstream.attach(sink)
    return upstream, sink
