"""The metrics of a hub for Prometheus (text format 0.0.4). No URL, no token, no address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..client._status import Status
from ..lifecycle._states import State
from ._counters import HubCounters
from ._frontend import Frontend

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(status: Status, counters: HubCounters, frontend: Frontend) -> str:
    """Every metric, with its help and its type."""
    lines: list[str] = []

    def add(kind: str, name: str, help_text: str, value: float) -> None:
        lines.extend(_metric(kind, f"onesocket_hub_{name}", help_text, (("", value),)))

    states = [(f'{{state="{state.name.lower()}"}}', int(state is status.state)) for state in State]
    lines.extend(_metric("gauge", "onesocket_hub_upstream_state", "1 for the state of the upstream.", states))
    add("gauge", "upstream_epoch", "Number of the newest connection to the upstream.", status.epoch)
    add("counter", "upstream_reconnects_total", "Connections that were resumed.", counters.reconnects)
    add("counter", "upstream_gaps_total", "Times that messages may be missing.", counters.gaps)
    if status.rtt is not None:
        add("gauge", "upstream_rtt_seconds", "Newest measured round trip.", status.rtt)
    add("counter", "received_messages_total", "Messages from the upstream.", counters.received.total)
    add("counter", "received_bytes_total", "Bytes of those.", counters.received_bytes)
    add("counter", "sent_messages_total", "Messages to the upstream.", counters.sent.total)
    add("counter", "sent_bytes_total", "Bytes of those.", counters.sent_bytes)
    add("counter", "not_sent_messages_total", "Messages of clients that were not sent upstream.", counters.not_sent)
    add("counter", "delivered_messages_total", "Messages written to clients, for each client.", counters.delivered)
    add("counter", "delivered_bytes_total", "Bytes of those, with frame headers.", counters.delivered_bytes)
    add("gauge", "clients", "Clients that are connected.", frontend.clients)
    add("counter", "clients_total", "Clients that connected.", counters.accepted)
    add("counter", "clients_refused_total", "Requests that were refused.", counters.refused)
    add("counter", "clients_cut_off_total", "Clients that did not read and were cut off.", counters.cut_off)
    add("gauge", "outbox_messages", "Messages that wait for the upstream.", status.outbox)
    add("gauge", "waiting_messages", "Messages of clients that wait to be sent upstream.", frontend.waiting)
    return "\n".join(lines) + "\n"


def _metric(kind: str, name: str, help_text: str, samples: Iterable[tuple[str, float]]) -> Iterable[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{labels} {value}"
