"""Every row of the demo, in the order of the table."""

from __future__ import annotations

import os
from typing import Final

from . import baseline, scenarios, shared_scenarios
from .scenario import Scenario

_P, _T, _N = shared_scenarios.PROCESSES, shared_scenarios.THREADS, shared_scenarios.TASKS
_PROCESSES = (
    (
        Scenario(
            "processes",
            f'{_P} processes x {_T} threads x {_N} tasks join at once, scope="host"',
            shared_scenarios.processes,
            baseline.processes,
        ),
    )
    if hasattr(os, "fork")
    else ()
)

SCENARIOS: Final = (
    Scenario(
        "not-connected",
        "all call connect() in the same turn of the event loop",
        scenarios.not_connected,
        baseline.not_connected,
    ),
    Scenario(
        "connecting",
        "callers arrive during the handshake; 30 % are cancelled at random",
        scenarios.connecting,
        baseline.connecting,
    ),
    Scenario(
        "all-cancelled",
        "every caller is cancelled during the handshake",
        scenarios.all_cancelled,
        baseline.all_cancelled,
    ),
    Scenario(
        "connected", "one caller opens the connection, the others come later", scenarios.connected, baseline.connected
    ),
    Scenario("error", "the last attempt got HTTP 503", scenarios.error, baseline.error),
    Scenario(
        "closing",
        "a reconnect is under way, and the server never acknowledges the close",
        scenarios.closing,
        baseline.closing,
    ),
    Scenario(
        "backing-off",
        "the connection was lost, and the server is busy: the client pauses for 30 s at least",
        scenarios.backing_off,
        baseline.backing_off,
    ),
    Scenario(
        "stopped",
        "after disconnect(): all call connect(), which is refused; then all call reconnect()",
        scenarios.stopped,
        baseline.stopped,
    ),
    Scenario("disconnect", "disconnect() comes during the handshake", scenarios.disconnect, baseline.disconnect),
    Scenario(
        "killed-connection",
        "the connection is reset (RST) while callers arrive",
        scenarios.killed_connection,
        baseline.killed_connection,
    ),
    Scenario(
        "restart",
        "the server closes with 1012 and is down for a moment while callers arrive",
        scenarios.restart,
        baseline.restart,
    ),
    Scenario(
        "accept-then-close",
        "the server accepts every upgrade and closes at once",
        scenarios.accept_then_close,
        baseline.accept_then_close,
    ),
    Scenario(
        "half-open",
        "the server falls silent; callers come when PINGs have detected that",
        scenarios.half_open,
        baseline.half_open,
    ),
    Scenario(
        "threads",
        f"{_T} threads x {_N} tasks join at once, each thread with its own event loop",
        shared_scenarios.threads,
        baseline.threads,
    ),
    *_PROCESSES,
)
