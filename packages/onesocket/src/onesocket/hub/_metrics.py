"""The numbers of a hub as Prometheus reads them (text format 0.0.4). No URL, no token, no address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..client._status import Status
from ..lifecycle._states import State
from ._counters import HubCounters
from ._frontend import Frontend

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(status: Status, counters: HubCounters, desk: Frontend) -> str:
    """Every metric, with its help and its type."""
    lines: list[str] = []

    def tell(kind: str, name: str, help_text: str, value: float) -> None:
        lines.extend(_metric(kind, f"onesocket_hub_{name}", help_text, (("", value),)))

    states = [(f'{{state="{state.name.lower()}"}}', int(state is status.state)) for state in State]
    lines.extend(_metric("gauge", "onesocket_hub_upstream_state", "1 for the state of the upstream.", states))
    tell("gauge", "upstream_epoch", "Number of the newest line to the upstream.", status.epoch)
    tell("counter", "upstream_reconnects_total", "Lines that came up again.", counters.reconnects)
    tell("counter", "upstream_gaps_total", "Times that messages may be missing.", counters.gaps)
    if status.rtt is not None:
        tell("gauge", "upstream_rtt_seconds", "Newest measured round trip.", status.rtt)
    tell("counter", "received_messages_total", "Messages from the upstream.", counters.received.total)
    tell("counter", "received_bytes_total", "Bytes of those.", counters.received_bytes)
    tell("counter", "sent_messages_total", "Messages to the upstream.", counters.sent.total)
    tell("counter", "sent_bytes_total", "Bytes of those.", counters.sent_bytes)
    tell("counter", "not_sent_messages_total", "Messages of clients that did not go up.", counters.not_sent)
    tell("counter", "delivered_messages_total", "Messages written to clients, for each client.", counters.delivered)
    tell("counter", "delivered_bytes_total", "Bytes of those, with frame headers.", counters.delivered_bytes)
    tell("gauge", "clients", "Clients that are connected.", desk.clients)
    tell("counter", "clients_total", "Clients that connected.", counters.accepted)
    tell("counter", "clients_refused_total", "Requests that were refused.", counters.refused)
    tell("counter", "clients_cut_off_total", "Clients that did not read and were cut off.", counters.cut_off)
    tell("gauge", "outbox_messages", "Messages that wait for the upstream.", status.outbox)
    tell("gauge", "waiting_messages", "Messages of clients that wait to go up.", desk.waiting)
    return "\n".join(lines) + "\n"


def _metric(kind: str, name: str, help_text: str, samples: Iterable[tuple[str, float]]) -> Iterable[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"
