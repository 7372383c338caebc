"""Makes the frozen snapshots of a client from its parts."""

from __future__ import annotations

from ..lifecycle._effects import Outcome
from ._error_reporter import ErrorReporter
from ._fan_out import FanOut
from ._outage_log import OutageLog
from ._runner import Runner
from ._sender import Sender
from ._status import Stats, Status


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


def take_stats(runner: Runner, fan_out: FanOut, sender: Sender, reporter: ErrorReporter) -> Stats:
    """Returns the counters so far."""
    return Stats(
        attempts=runner.machine.epoch,
        handshakes=runner.handshakes,
        opened=runner.outcomes[Outcome.OPENED],
        joined=runner.outcomes[Outcome.JOINED],
        already_connected=runner.outcomes[Outcome.ALREADY_CONNECTED],
        reconnects=max(0, runner.readied - 1),
        stale_dropped=runner.machine.stale,
        received=fan_out.delivered,
        sent=sender.sent,
        undecodable=fan_out.undecodable,
        callback_errors=reporter.count,
    )
