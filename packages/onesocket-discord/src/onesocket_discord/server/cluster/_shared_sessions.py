"""The sessions of one server, recorded so that another one can resume them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from onesocket.errors import OnesocketError

from ..._serving import ClientViolation, EncodedDispatch
from ...protocol._close_codes import CloseCode
from .._ports import Account
from ..gateway._gateway_state import GatewayState
from ..gateway._session import EventsLost, GatewaySession
from ._event_stream import EventStream, MissedEntries, StreamId
from ._rebuilding import SessionRebuilder
from ._session_records import Checkpoint, SessionRecord, SessionRecords

T = TypeVar("T")

log = logging.getLogger("onesocket_discord.server")

_INTERVAL: Final = 2.0
"""Seconds between two looks at the sessions."""
_AGE: Final = 10.0
_DISTANCE: Final = 4096
"""Seconds, or entries of the stream, after which a session gets a new checkpoint; two of them are kept."""
_BATCH: Final = 100


@dataclass(slots=True)
class _Progress:
    older: Checkpoint
    newer: Checkpoint
    saved_at: float


class SharedSessions:
    """Begins, continues and takes over sessions; all but the last look like those of a server that is alone."""

    def __init__(self, records: SessionRecords, stream: EventStream, state: GatewayState) -> None:
        self._records = records
        self._stream = stream
        self._state = state
        self._progress: dict[str, _Progress] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.position = StreamId(0, 0)
        """The last entry of the stream that this server's sessions have seen."""

    async def begin(self, session: GatewaySession, at: StreamId, own: Sequence[EncodedDispatch]) -> None:
        """Record a session before it is sent its first dispatches; it has collected what came after `at`."""
        await self._records.begin(session, at, own)
        start = Checkpoint(0, at)
        self._progress[session.id] = _Progress(start, start, asyncio.get_running_loop().time())

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something that goes on when its caller is cancelled: numbers that were recorded have to be used."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be gone

    async def push(self, session: GatewaySession, own: Sequence[EncodedDispatch]) -> None:
        """Record and push dispatches for this session alone."""
        await self.finish(self._push(session, own))

    async def _push(self, session: GatewaySession, own: Sequence[EncodedDispatch]) -> None:
        async with self._paused(session):
            if await self.record(session, own):
                for dispatch in own:
                    session.push(dispatch)

    async def record(self, session: GatewaySession, own: Sequence[EncodedDispatch]) -> bool:
        """Record the next dispatches of a paused session; returns False if another server has it now."""
        return await self._records.append(session.id, session.seq + 1, own)

    @contextlib.asynccontextmanager
    async def _paused(self, session: GatewaySession) -> AsyncGenerator[None, None]:
        """Pause a session; it ends if something fails, as then nobody knows which numbers are recorded."""
        try:
            async with session.paused():
                try:
                    yield
                except Exception:
                    self._lose(session)
                    raise
        except EventsLost:
            self._lose(session)

    def _lose(self, session: GatewaySession) -> None:
        connection = session.connection
        self._state.sessions.end(session)
        if connection is not None:
            connection.invalidate()

    @contextlib.asynccontextmanager
    async def held(
        self, session_id: str, account: Account, login: bytes, seq: int
    ) -> AsyncGenerator[GatewaySession | None, None]:
        """Yield a session to be resumed after `seq`, paused; None if there is none. Raises `ClientViolation`."""
        session = self._state.sessions.get(session_id)
        if session is not None:
            async with self._paused(session):
                is_there = self._state.sessions.get(session_id) is session and session.has_begun
                yield session if is_there and session.account.user_id == account.user_id else None
            return
        record = await self._records.claim(session_id, account.user_id)
        if record is None:
            yield None
            return
        about = record.intents, record.shard, self._state.options
        session = GatewaySession(account, login, *about, large_threshold=record.large_threshold)
        session.id = session_id
        if not self._state.sessions.add(session):
            raise ClientViolation(CloseCode.RATE_LIMITED)
        async with self._paused(session):
            if await self._rebuild(session, record, seq):
                yield session
            else:
                self._state.sessions.end(session)
                yield None

    async def _rebuild(self, session: GatewaySession, record: SessionRecord, seq: int) -> bool:
        at = self.position  # what comes after it is collected
        checkpoint = record.checkpoint_for(seq)
        rebuilder = SessionRebuilder(session, record, checkpoint)
        try:
            async for bodies in self._stream.between(checkpoint.at, at):
                rebuilder.read(bodies)
        except MissedEntries:
            return False
        rebuilder.finish()
        # From here on the numbers are those of this server, so a checkpoint begins with them.
        self._progress[session.id] = _Progress(checkpoint, checkpoint, 0.0)
        return not rebuilder.signed_out

    def moved(self, session_id: str) -> None:
        """Let go of a session that was resumed on another server."""
        session = self._state.sessions.get(session_id)
        if session is not None:
            connection = session.connection
            self._state.sessions.give_away(session)
            self._progress.pop(session_id, None)
            if connection is not None:
                connection.close(CloseCode.UNKNOWN_ERROR, "The session was resumed on another server")

    def ended(self, session: GatewaySession) -> None:
        """Remove the record of a session that can't be resumed any more."""
        if self._progress.pop(session.id, None) is not None:
            task = asyncio.get_running_loop().create_task(self._end_record(session.id))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    async def _end_record(self, session_id: str) -> None:
        try:
            await self._records.end(session_id)
        except OnesocketError as error:  # it ends by its time
            log.info("the record of a session could not be removed: %s", error)

    async def keep_records(self) -> None:
        """Write the checkpoints that are due, and wait for the next look."""
        await self.save_records(_AGE)
        await asyncio.sleep(_INTERVAL)

    async def save_records(self, age: float) -> None:
        """Write a new checkpoint of each session whose last one is `age` seconds old, or far behind."""
        now = asyncio.get_running_loop().time()
        due: dict[str, tuple[Checkpoint, Checkpoint]] = {}
        for session in self._state.sessions:
            progress = self._progress.get(session.id)
            if progress is None or session.early is not None:
                continue  # what it has collected has no numbers yet
            far = self.position.number - progress.newer.at.number >= _DISTANCE
            if far or now - progress.saved_at >= age:
                progress.older, progress.newer = progress.newer, Checkpoint(session.seq, self.position)
                progress.saved_at = now
                due[session.id] = progress.older, progress.newer
        names = list(due)
        for start in range(0, len(names), _BATCH):
            await self._records.save({name: due[name] for name in names[start : start + _BATCH]})

    async def stop(self) -> None:
        """Finish what has begun. The records of the sessions stay, so that they can be resumed elsewhere."""
        self._progress.clear()
        if self._tasks:
            await asyncio.wait(self._tasks)
