"""The server's side of a recording: what each connection is to be given, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ..errors import InvalidRecording
from ._lines import (
    AbortLine,
    CloseLine,
    DialLine,
    EndLine,
    Line,
    OpenLine,
    PeerCloseLine,
    PingLine,
    PongLine,
    ReceivedLine,
    SentLine,
    ViolationLine,
)
from ._reader import Recording

_ENDS: Final = (AbortLine, CloseLine, PeerCloseLine, ViolationLine)
"""With these, the end of the connection follows by itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One act of the server."""

    at: float
    """Seconds since the connection began."""
    line: OpenLine | ReceivedLine | PeerCloseLine | ViolationLine | EndLine
    sent: int
    """Number of messages that the client had sent before."""
    sent_at: float
    """Seconds at which it sent the last of them; 0: none."""


@dataclass(slots=True)
class ConnectionScript:
    """The acts of the server on one connection."""

    steps: list[Step] = field(default_factory=list[Step])
    pongs: list[float | None] = field(default_factory=list[float | None])
    """For each PING of the client, the seconds until its PONG; None: it came to none."""
    is_close_answered: bool = True
    """False if the client's CLOSE was not answered in time."""
    mute_at: float | None = None
    """Seconds after which no PING was answered any more; None: all were."""

    @property
    def opening(self) -> OpenLine | None:
        """The answer to the upgrade; None: it was refused, or never came."""
        return next((step.line for step in self.steps if isinstance(step.line, OpenLine)), None)

    @property
    def refusal(self) -> EndLine | None:
        """The end of a connection that never opened and that the client did not give up."""
        last = self.steps[-1].line if self.steps and self.opening is None else None
        return last if isinstance(last, EndLine) else None


def scripts_of(recording: Recording) -> list[ConnectionScript]:
    """The scripts of all connections, in their order. Raises `InvalidRecording`: a message was withheld, or none is."""
    connections: dict[tuple[int, int], list[Line]] = {}
    for number, line in enumerate(recording.lines, 2):
        if isinstance(line, ReceivedLine):
            _check_shown(line, number)
        if isinstance(line, DialLine | OpenLine | ReceivedLine | PeerCloseLine) or (
            (line.client, line.epoch) in connections
        ):
            connections.setdefault((line.client, line.epoch), []).append(line)
    if not connections:
        raise InvalidRecording("the recording has no connection that could be replayed")
    return [_script(lines) for lines in connections.values()]


def _script(lines: list[Line]) -> ConnectionScript:
    script = ConnectionScript()
    began = lines[0].t
    if not any(isinstance(line, DialLine | OpenLine) for line in lines):
        first = lines[0]  # the ring had dropped the beginning
        lines = [OpenLine(t=first.t, at=first.at, client=first.client, epoch=first.epoch), *lines]
    sent, sent_at, is_ending = 0, 0.0, False
    pings: dict[str, tuple[int, float]] = {}
    last_pong = 0.0
    for line in lines:
        at = line.t - began
        if isinstance(line, SentLine):
            sent, sent_at = sent + 1, at
        elif isinstance(line, PingLine):
            pings[line.payload] = len(script.pongs), at
            script.pongs.append(None)
        elif isinstance(line, PongLine) and line.payload in pings:
            number, asked_at = pings.pop(line.payload)
            script.pongs[number] = at - asked_at
            last_pong = at
        elif isinstance(line, OpenLine | ReceivedLine | PeerCloseLine | ViolationLine) or (
            isinstance(line, EndLine) and not is_ending
        ):
            script.steps.append(Step(at, line, sent, sent_at))
        if isinstance(line, AbortLine) and is_ending:
            script.is_close_answered = False
        is_ending = is_ending or isinstance(line, _ENDS)
    if script.pongs and script.pongs[-1] is None and any(isinstance(line, AbortLine) for line in lines):
        script.mute_at = last_pong
    return script


def _check_shown(line: ReceivedLine, number: int) -> None:
    if line.withheld is not None:
        raise InvalidRecording(
            f"line {number}: a message of the server was withheld ({line.withheld}), so it can't be replayed: give the "
            "protocol a redact(), or record a server of your own with redact=False (of the FlightRecorder or cassette)"
        )


class ScriptPlayer:
    """Performs the steps of a script at their times, on the running event loop.

    `in_step`: a step that followed messages of the client waits for as many, and its time counts from the last one.
    """

    def __init__(
        self,
        steps: Iterable[Step],
        perform: Callable[[Line], object],
        *,
        in_step: bool,
        speed: float = 1.0,
    ) -> None:
        self._steps = list(steps)
        self._perform = perform
        self._in_step = in_step
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._sent = 0
        self._is_waiting = False
        self._timer: asyncio.TimerHandle | None = None
        self._schedule()

    def __repr__(self) -> str:
        return f"<ScriptPlayer steps={len(self._steps)} sent={self._sent}>"

    def client_sent(self) -> None:
        """Note that a message of the client has come."""
        self._sent += 1
        if self._is_waiting and self._sent >= self._steps[0].sent:
            self._is_waiting = False
            self._began = self._loop.time() - self._steps[0].sent_at / self._speed
            self._schedule()

    def stop(self) -> None:
        """Perform no more steps."""
        if self._timer is not None:
            self._timer.cancel()
        self._steps.clear()

    def _schedule(self) -> None:
        if not self._steps:
            return
        step = self._steps[0]
        if self._in_step and self._sent < step.sent:
            self._is_waiting = True
            return
        self._timer = self._loop.call_at(self._began + step.at / self._speed, self._act)

    def _act(self) -> None:
        step = self._steps.pop(0)
        self._perform(step.line)
        self._schedule()
