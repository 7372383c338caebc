"""The metrics of a hub for Prometheus (text format 0.0.4). No URL, no token, no address."""

from __future__ import annotations

from ..client._cluster_status import cluster_status_of
from ..instruments._metrics import METRICS, SourceReading
from ..instruments._text_format import metric_lines
from ..sharing._upstream import Upstream
from ._counters import HubCounters
from ._frame_backlog import FrameBacklog
from ._frontend import Frontend


def metrics_text(upstream: Upstream, counters: HubCounters, frontend: Frontend, backlog: FrameBacklog) -> str:
    """Every metric, with help and type: those of the upstream connection, as of any client, then the hub's own."""
    lines: list[str] = []
    role = "owner" if upstream.is_owner else "follower"
    reading = SourceReading(
        role=role,
        status=upstream.status,
        connection=upstream.connection_stats,
        cluster=cluster_status_of(upstream),
    )
    for metric in METRICS:
        samples = tuple(metric.read(reading))
        if samples:
            lines.extend(metric_lines(metric.prometheus_type, metric.series_name, metric.description, samples))

    def add(kind: str, name: str, help_text: str, value: float) -> None:
        lines.extend(metric_lines(kind, f"onesocket_hub_{name}", help_text, (((), value),)))

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
    add("gauge", "waiting_messages", "Messages of clients that wait to be sent upstream.", frontend.waiting)
    add("gauge", "unread_bytes", "Bytes that are kept for clients that lag, once for all of them.", backlog.size)
    return "\n".join(lines) + "\n"
