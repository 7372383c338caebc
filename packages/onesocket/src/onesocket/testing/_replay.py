"""Replays the server's side of a recording on real sockets."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from typing import Any

from ..errors import (
    HandshakeRejected,
    InvalidHandshake,
    InvalidOption,
    InvalidText,
    MessageTooBig,
    OnesocketError,
    ServerBusy,
)
from ..recording._lines import DialLine, EndLine, Line, OpenLine, PeerCloseLine, ReceivedLine, ViolationLine
from ..recording._reader import Recording
from ..recording._script import ConnectionScript, ScriptPlayer, Step, scripts_of
from ._faults import Fault
from ._faulty_connection import FaultyConnection
from ._memory_replay import NO_MORE


class ReplayPlan:
    """The plan of a `FaultyServer` that replays a recording: its faults, and its handler."""

    def __init__(self, recording: Recording | str | os.PathLike[str], *, speed: float, in_step: bool) -> None:
        recording = Recording.of(recording)
        given: Any = speed
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < math.inf:
            raise InvalidOption(f"speed must be a finite number above 0, not {speed!r}")
        self._scripts = deque(scripts_of(recording))
        self._speed = speed
        self._in_step = in_step
        self._chosen: dict[int, ConnectionScript] = {}
        sizes = [line.max_size for line in recording.lines if isinstance(line, DialLine) and line.max_size is not None]
        self._too_big = max(sizes, default=16 << 20) + 1
        openings = [script.opening for script in self._scripts]
        self.options: dict[str, Any] = {
            "faults": self._choose,
            "handler": self._handle,
            "subprotocols": [
                name for name in dict.fromkeys(one.subprotocol for one in openings if one is not None) if name
            ],
            "compression": "deflate" if any(one is not None and one.is_compressed for one in openings) else None,
        }

    def __repr__(self) -> str:
        return f"<ReplayPlan connections left={len(self._scripts)}>"

    def _choose(self, connection: FaultyConnection) -> Fault:
        if not self._scripts:
            return Fault.refuse(503, body=NO_MORE)
        script = self._scripts.popleft()
        self._chosen[connection.number] = script
        at = script.steps[0].at if script.steps else 0.0
        if script.opening is not None:
            fault = Fault()
        elif script.refusal is not None:
            fault = _refusal(script.refusal.reason)
        else:
            return Fault.never_answer()
        fault |= Fault.slow_upgrade(at / self._speed) if at else Fault()
        return fault if script.is_close_answered else fault | Fault.never_acknowledge_close()

    async def _handle(self, connection: FaultyConnection) -> None:
        script = self._chosen.pop(connection.number)
        start = next((step.at for step in script.steps if isinstance(step.line, OpenLine)), 0.0)
        steps = [
            Step(step.at - start, step.line, step.sent, max(0.0, step.sent_at - start))
            for step in script.steps
            if not isinstance(step.line, OpenLine)
        ]
        player = ScriptPlayer(
            steps, lambda line: self._perform(connection, line), in_step=self._in_step, speed=self._speed
        )
        timer: asyncio.TimerHandle | None = None
        if script.mute_at is not None:
            delay = max(0.0, script.mute_at - start) / self._speed
            timer = asyncio.get_running_loop().call_later(delay, connection.strike, Fault.no_pong())
        try:
            async for _ in connection:
                player.client_sent()
        finally:
            player.stop()
            if timer is not None:
                timer.cancel()

    def _perform(self, connection: FaultyConnection, line: Line) -> None:
        match line:
            case ReceivedLine(data=data) if data is not None and connection.can_send:
                connection.send_nowait(data)
            case PeerCloseLine():
                connection.close_nowait(None if line.code == 1005 else line.code, line.reason)
            case ViolationLine():
                connection.strike(self._violation(line.error.error()))
            case EndLine():
                connection.strike(Fault.accept_then_drop())
            case _:
                pass

    def _violation(self, error: OnesocketError) -> Fault:
        if isinstance(error, InvalidText):
            return Fault.invalid_utf8()
        return Fault.oversize_frame(self._too_big) if isinstance(error, MessageTooBig) else Fault.reserved_bits()


def _refusal(error: OnesocketError) -> Fault:
    after = {} if error.retry_after is None else {"Retry-After": f"{error.retry_after:.0f}"}
    if isinstance(error, HandshakeRejected):
        return Fault.refuse(error.status, headers=after)
    if isinstance(error, ServerBusy):
        return Fault.refuse(429, headers=after)
    return Fault.garbage() if isinstance(error, InvalidHandshake) else Fault.reset_during_upgrade()
