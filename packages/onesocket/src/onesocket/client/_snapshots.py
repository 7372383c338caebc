"""Makes the frozen snapshots of a client from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lifecycle._effects import Outcome
from ..wire._handshake import ByteCounts
from ._error_reporter import ErrorReporter
from ._fan_out import FanOut
from ._outage_log import OutageLog
from ._runner import Runner
from ._sender import Sender
from ._status import ConnectionStats, Stats, Status

if TYPE_CHECKING:
    from ._request_tracker import RequestTracker


def take_status(url: str, runner: Runner, fan_out: FanOut, sender: Sender, outages: OutageLog) -> Status:
    """Returns the status of this moment."""
    machine = runner.machine
    return Status(
        url=url,
        state=machine.state,
        epoch=machine.epoch,
        attempt=machine.failures,
        last_error=machine.error,
        last_loss=outages.last_loss,
        last_lost_at=outages.last_lost_at,
        connected_at=runner.connected_at,
        last_connected_at=runner.last_connected_at,
        retry_in=runner.retry_in,
        rtt=runner.rtt,
        callers=runner.callers,
        outbox=len(sender),
        inbox=fan_out.depth,
        subscribers=len(fan_out),
        is_held=fan_out.is_held,
        handshake=runner.handshake,
    )


def take_stats(
    runner: Runner,
    fan_out: FanOut,
    sender: Sender,
    reporter: ErrorReporter,
    *,
    byte_counts: ByteCounts | None,
    requests: RequestTracker | None,
) -> Stats:
    """Returns the counters so far."""
    losses = fan_out.losses
    connection = ConnectionStats(
        attempts=runner.machine.last_epoch,
        handshakes=runner.handshakes,
        reconnects=max(0, runner.readied - 1),
        received=fan_out.delivered + losses.undelivered,
        sent=sender.sent,
        gaps=losses.gaps,
        undecodable=losses.undecodable,
        stale_dropped=runner.machine.stale,
        late_answers=0 if requests is None else requests.table.late,
        received_bytes=byte_counts.received if byte_counts is not None and byte_counts.is_counting else None,
        sent_bytes=byte_counts.sent if byte_counts is not None and byte_counts.is_counting else None,
    )
    return Stats(
        attempts=connection.attempts,
        handshakes=connection.handshakes,
        opened=runner.outcomes[Outcome.OPENED],
        joined=runner.outcomes[Outcome.JOINED],
        already_connected=runner.outcomes[Outcome.ALREADY_CONNECTED],
        reconnects=connection.reconnects,
        stale_dropped=connection.stale_dropped,
        late_answers=connection.late_answers,
        received=fan_out.delivered,
        sent=connection.sent,
        undecodable=losses.undecodable,
        callback_errors=reporter.count,
        gaps=losses.gaps,
        overflows=losses.overflows,
        dropped=losses.dropped,
        connection=connection,
    )
