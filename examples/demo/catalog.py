"""Every row of the demo, in the order in which it is shown."""

from __future__ import annotations

import os
from typing import Final

from . import baseline as rival_plays
from . import scenarios as plays
from . import shared_scenarios as shared_plays
from .scenario import Scenario

_P, _T, _N = shared_plays.PROCESSES, shared_plays.THREADS, shared_plays.TASKS
_PROCESSES = (
    (
        Scenario(
            "processes",
            f'{_P} processes x {_T} threads x {_N} tasks join at once, scope="host"',
            shared_plays.processes,
            rival_plays.processes,
        ),
    )
    if hasattr(os, "fork")
    else ()
)

SCENARIOS: Final = (
    Scenario(
        "not-connected",
        "all call connect() in the same tick",
        plays.not_connected,
        rival_plays.not_connected,
    ),
    Scenario(
        "connecting",
        "they arrive during the handshake; 30 % are cancelled at random",
        plays.connecting,
        rival_plays.connecting,
    ),
    Scenario(
        "all-cancelled",
        "every caller is cancelled during the handshake",
        plays.all_cancelled,
        rival_plays.all_cancelled,
    ),
    Scenario("connected", "one opens the line, the others come later", plays.connected, rival_plays.connected),
    Scenario("error", "the last attempt got HTTP 503", plays.error, rival_plays.error),
    Scenario(
        "closing",
        "a reconnect is under way, and the server never acknowledges the close",
        plays.closing,
        rival_plays.closing,
    ),
    Scenario(
        "backing-off",
        "the line was lost, and the server asked for a pause of 60 s",
        plays.backing_off,
        rival_plays.backing_off,
    ),
    Scenario(
        "stopped",
        "after disconnect(): all call connect(), which is refused; then all call reconnect()",
        plays.stopped,
        rival_plays.stopped,
    ),
    Scenario("disconnect", "disconnect() comes during the handshake", plays.disconnect, rival_plays.disconnect),
    Scenario(
        "killed-line",
        "the line is reset (RST) while they arrive",
        plays.killed_connection,
        rival_plays.killed_connection,
    ),
    Scenario(
        "restart",
        "the server closes with 1012 and is away for a moment while they arrive",
        plays.restart,
        rival_plays.restart,
    ),
    Scenario(
        "accept-then-close",
        "the server accepts every upgrade and closes at once",
        plays.accept_then_close,
        rival_plays.accept_then_close,
    ),
    Scenario(
        "half-open",
        "the server falls silent; callers come when PINGs have found that out",
        plays.half_open,
        rival_plays.half_open,
    ),
    Scenario(
        "threads",
        f"{_T} threads x {_N} tasks join at once, each thread with its own event loop",
        shared_plays.threads,
        rival_plays.threads,
    ),
    *_PROCESSES,
)
