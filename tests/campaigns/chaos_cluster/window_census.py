"""The most sockets at once, counted apart for times at which there may be more than one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from tests.campaigns.harness.socket_census import ClientSockets, SocketCensus


class WindowCensus(SocketCensus):
    """A census with windows: what happens in one counts for the window alone."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.windows: Counter[str] = Counter()
        """The most sockets at once in windows of each name."""

    @contextlib.contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Count apart until the end of the block."""
        self.take()
        peak, overlaps = self.peak, list(self.overlaps)
        self.peak = 0
        try:
            yield
        finally:
            self.take()
            self.windows[name] = max(self.windows[name], self.peak)
            self.peak, self.overlaps[:] = peak, overlaps


def by_host(listings: dict[int, ClientSockets]) -> ClientSockets:
    """The sockets of all hosts, by the host's number and the port."""
    return {host << 16 | port: state for host, found in listings.items() for port, state in found.items()}
