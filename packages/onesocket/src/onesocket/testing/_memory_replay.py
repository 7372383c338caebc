"""Replays a recording in memory, for virtual time."""

from __future__ import annotations

import asyncio
import os
from collections import deque

from ..errors import ConnectionReset, ProtocolViolation
from ..recording._lines import EndLine, Line, OpenLine, PeerCloseLine, ReceivedLine, ViolationLine
from ..recording._reader import Recording
from ..recording._script import ConnectionScript, ScriptPlayer, scripts_of
from ..transports._memory import MemoryPeer, MemoryServer, MemoryTransport
from ..wire._handshake import Data

NO_MORE = "the recording has no more connections"


class MemoryReplay:
    """A server in memory that does what the server of a recording did, at the recorded times.

    Each dial gets the next recorded connection, and is refused when there are no more. `in_step`: an answer to messages
    of the client waits for them. Raises `InvalidRecording`.
    """

    def __init__(self, recording: Recording | str | os.PathLike[str], *, in_step: bool = True) -> None:
        self.server = MemoryServer(self._dialled, self._took)
        self._scripts = deque(scripts_of(Recording.of(recording)))
        self._in_step = in_step
        self._players: dict[MemoryPeer, ScriptPlayer] = {}

    def __repr__(self) -> str:
        return f"<MemoryReplay connections left={len(self._scripts)} {self.server!r}>"

    def transport(self) -> MemoryTransport:
        """The transport for ``Client(transport=…)``, with any URL."""
        return MemoryTransport(self.server, compression="deflate")

    def _dialled(self, peer: MemoryPeer) -> None:
        if not self._scripts:
            peer.refuse(ConnectionReset(NO_MORE))
            return
        script = self._scripts.popleft()
        peer.answers_close = script.is_close_answered
        peer.on_ping = _Pongs(peer, script).answer
        self._players[peer] = ScriptPlayer(script.steps, _Acts(peer).perform, in_step=self._in_step)

    def _took(self, peer: MemoryPeer, _message: Data) -> None:
        self._players[peer].client_sent()


class _Pongs:
    """Answers each PING as its recorded one was; those that come later at once, or never if the last were not."""

    def __init__(self, peer: MemoryPeer, script: ConnectionScript) -> None:
        self._peer = peer
        self._delays = deque(script.pongs)
        self._later = 0.0 if script.mute_at is None else None

    def answer(self, payload: bytes) -> None:
        delay = self._delays.popleft() if self._delays else self._later
        if delay is not None:
            asyncio.get_running_loop().call_later(delay, self._peer.pong, payload)


class _Acts:
    """Performs the lines of a script."""

    def __init__(self, peer: MemoryPeer) -> None:
        self._peer = peer

    def perform(self, line: Line) -> None:
        match line:
            case OpenLine():
                self._peer.accept(line.subprotocol, dict(line.headers))
            case ReceivedLine(data=data) if data is not None:
                self._peer.send(data)
            case PeerCloseLine():
                self._peer.close(line.code, line.reason)
            case ViolationLine():
                error = line.error.error()
                self._peer.violate(error if isinstance(error, ProtocolViolation) else ProtocolViolation(str(error)))
            case EndLine():
                self._peer.refuse(line.reason)
            case _:
                pass
