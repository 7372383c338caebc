"""Performs the election: the lock, the socket, and the present role of this process."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from ..._task_end import leave_alone
from ...errors import (
    ClientClosed,
    ForeignUser,
    IpcError,
    NoOwner,
    NoRuntimeDirectory,
    OnesocketError,
    OpenTimeout,
    OptionConflict,
    OutOfResources,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
)
from .._host_options import HostOptions, Own
from ._descriptor_reserve import DescriptorReserve
from ._election import Election, ElectionAction, ElectionEvent, ElectionPhase
from ._follower import Follower
from ._membership_events import JoinFailed, MembershipEvent, OwnerMissing, Role, RoleLost, RoleTaken
from ._owner import Owner
from ._owner_lock import OwnerLock
from ._owner_record import OwnerRecord
from ._process_lock import ProcessLock
from ._role_waiters import RoleWaiters
from ._runtime_paths import RuntimePaths, translate_os_error

_log: Final = logging.getLogger("onesocket")
_FATAL_ERRORS: Final = (TokenMismatch, ForeignUser, VersionMismatch, OptionConflict)
"""Errors that keep a process out until a user changes something. All others may be over in a moment."""
MISSING_AFTER: Final = 1.0
"""Seconds without an owner after which a process that never owns tells that: longer than any change of owners takes."""


class Membership:
    """The shell around one `Election`, which decides."""

    def __init__(
        self,
        paths: RuntimePaths,
        options: HostOptions,
        *,
        make_owner: Callable[[OwnerLock, DescriptorReserve], Owner],
        make_follower: Callable[[Own], Follower],
        retry_delay: Callable[[OnesocketError, int], float | None],
        emit: Callable[[MembershipEvent], object],
    ) -> None:
        self._options = options
        self._make_owner = make_owner
        self._make_follower = make_follower
        self._retry_delay = retry_delay
        """Returns the seconds until the next try after so many failures in a row; None: there is none."""
        self._emit = emit
        self.adopt: Callable[[asyncio.Task[Any]], object] = leave_alone
        """Called with each task of the membership and its role; the end of a loop may have to spare it."""
        self._election = Election(options)
        self.role: Role | None = None
        self._missing_due = math.inf
        """Time at which to tell that there is no owner."""
        self.join_error: OnesocketError | None = None
        """Reason for which there is no role yet, or no answer of the owner."""
        self._reserve = DescriptorReserve()
        self._attaching: Follower | None = None
        self._lock = ProcessLock(paths, takes_over=options.takes_over)
        self._failures = 0
        """Steps that failed in a row."""
        self._step: asyncio.Task[None] | None = None
        self._waiters = RoleWaiters()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heard_at = 0.0
        """The owner's last sign of life that the election knows of."""

    def __repr__(self) -> str:
        silent = " silent owner" if self._election.is_owner_silent else ""
        return f"<Membership {self._election.phase.value}{silent}>"

    @property
    def usable_role(self) -> Role | None:
        """The role; None while it ends."""
        return self.role if self._election.phase in (ElectionPhase.OWNING, ElectionPhase.FOLLOWING) else None

    @property
    def is_looking(self) -> bool:
        """True while this process is to have a role, and has none."""
        return self._election.phase is not ElectionPhase.IDLE and self.usable_role is None

    def begin(self) -> None:
        """Keep the descriptors that a fail-over takes."""
        self._loop = asyncio.get_running_loop()
        self._reserve.fill()

    async def acquire_role(self) -> Role:
        """Join, and wait for a role. Raises the error that keeps this process out."""
        role = self.usable_role
        if role is not None:
            return role
        future = self._waiters.add()
        self.handle_event(ElectionEvent.JOIN)
        return await future

    def on_owner_disconnected(self, *, in_order: bool, leaves_lock: bool) -> None:
        """The present role's owner is gone; the end of an earlier one is ignored.

        `leaves_lock`: another process is to be the next owner.
        """
        if isinstance(self.role, Follower) and self.role.is_over:
            self.role = None
            if in_order:
                self._lock.forget_owner()  # the process may live on; its connection is closed
            self._reserve.release()  # becoming the owner takes descriptors, and the program may have none left
            self._emit(RoleLost(in_order))
            self._election.leaves_lock = leaves_lock
            self.handle_event(ElectionEvent.OWNER_LOST)

    def descriptors(self) -> Iterable[int]:
        """The sockets, and after them the lock: it's held for as long as any socket is."""
        for part in (self.role, self._attaching, self._lock):
            if part is not None:
                yield from part.descriptors()

    def break_off(self) -> None:
        """Let go of the connection, and after it of the lock; in any thread. The role learns it from its lock."""
        role, lock = self.role, self._lock.held
        for part in (role, self._attaching):
            if part is not None:
                part.break_off()
        if lock is not None:
            lock.surrender(tuple)
        if self._loop is not None and self._loop.is_closed():
            self._lock.release()
            self._reserve.release()

    async def aclose(self, drain: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Leave in order. `drain`: awaited by a follower before it leaves."""
        self._election.handle(ElectionEvent.LEAVE, asyncio.get_running_loop().time())
        if self._timer is not None:
            self._timer.cancel()
        self._waiters.reject(ClientClosed())
        step = self._step
        if step is not None and not step.done():
            if not isinstance(self.role, Owner):
                step.cancel()
            await asyncio.wait([step], timeout=timeout)
        role = self.role
        try:
            if isinstance(role, Owner):
                await self._end_owner(role)
            elif isinstance(role, Follower):
                await drain()
        finally:
            if isinstance(role, Follower):
                role.leave()
            self.role = None
            self._lock.release()
            self._reserve.release()

    # --- the election -----------------------------------------------------------------------------------------------

    def handle_event(self, event: ElectionEvent, delay: float = 0.0) -> None:
        """Perform the election's actions for an event."""
        loop = asyncio.get_running_loop()
        try:
            for action in self._election.handle(event, loop.time(), random.random(), delay=delay):
                self._perform(action)
        finally:  # whatever an action meets, the next tick comes
            if self._timer is not None:
                self._timer.cancel()
            at = self._election.wake_at
            self._timer = None if at is None else loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        # The owner's signs of life come with every read; the election gets the last one here.
        heard_at = self.role.heard_at if isinstance(self.role, Follower) else 0.0
        if heard_at > self._heard_at:
            self._heard_at = heard_at
            self.join_error = None
            self._election.handle(ElectionEvent.HEARTBEAT, heard_at)
            self._reserve.fill()
        self.handle_event(ElectionEvent.TICK)

    def _perform(self, action: ElectionAction) -> None:
        match action:
            case ElectionAction.TRY_LOCK:
                self._try_lock()
            case ElectionAction.TAKE_OVER:
                self._take_over()
            case ElectionAction.ATTACH:
                self._start_step(self._attach())
            case ElectionAction.SERVE:
                self._start_step(self._serve())
            case ElectionAction.HAND_OVER:
                self._start_step(self._hand_over())
            case ElectionAction.DETACH:
                self._detach()
            case ElectionAction.CHECK_OWNER:
                self._check_owner()
            case ElectionAction.REPORT_SILENCE:
                if isinstance(self.role, Follower):
                    self.join_error = OwnerSilent.of(self.role.peer_pid)

    def _try_lock(self) -> None:
        try:
            is_acquired = self._lock.acquire()
        except Exception as error:  # noqa: BLE001 - no memory, or a bug: the election waits for what comes of this
            if isinstance(error, OnesocketError) and self._lock.paths.is_being_restored(error):
                self._handle_soon(ElectionEvent.LOCK_BUSY)
            else:
                self._on_step_failed(_typed_error(error))
            return
        if is_acquired:
            self._handle_soon(ElectionEvent.LOCK_ACQUIRED)
        elif self._election.phase is ElectionPhase.FOLLOWING:
            self._check_owner()
        else:
            self._lock.see_owner()
            self._handle_soon(ElectionEvent.LOCK_BUSY)

    def _check_owner(self) -> None:
        """Turn to the next owner if another process has taken over from the silent one."""
        if self._lock.has_other_owner():
            self._handle_soon(ElectionEvent.OWNER_LOST)

    def _take_over(self) -> None:
        try:
            is_acquired = self._lock.take_over()
        except Exception as error:  # noqa: BLE001 - as in `_try_lock`
            self._on_step_failed(_typed_error(error))
            return
        self._handle_soon(ElectionEvent.LOCK_ACQUIRED if is_acquired else ElectionEvent.LOCK_BUSY)

    def _handle_soon(self, event: ElectionEvent) -> None:
        # In the next turn: the actions of the last event are being performed.
        asyncio.get_running_loop().call_soon(self.handle_event, event)

    def _start_step(self, step: Coroutine[Any, Any, None]) -> None:
        self._step = asyncio.get_running_loop().create_task(step)
        self.adopt(self._step)

    async def _attach(self) -> None:
        try:
            follower = self._attaching = self._make_follower(self._election.own)
            welcome = await follower.attach(self._lock.paths, self._options.attach_timeout)
        except (OSError, NoRuntimeDirectory, IpcError):
            if self._election.own is Own.NEVER:
                self._note_missing_owner()
            self.handle_event(ElectionEvent.ATTACH_FAILED)
            return
        except OwnerSilent as error:
            self.join_error = error
            self.handle_event(ElectionEvent.ATTACH_TIMED_OUT)
            return
        except Exception as error:  # noqa: BLE001 - as in `_try_lock`
            self._on_step_failed(_typed_error(error))
            return
        finally:
            self._attaching = None
        if follower.is_over:
            self._emit(RoleLost(in_order=False))  # it has told where the feed of this owner begins
            self.handle_event(ElectionEvent.ATTACH_FAILED)
            return
        self._lock.note_owner(welcome.ownership_id, OwnerRecord.of(follower.peer_pid, welcome.status.epoch))
        self._election.owner_heartbeat = welcome.heartbeat
        self.handle_event(ElectionEvent.ATTACHED)
        try:
            self._take_role(follower)
        except OnesocketError as error:
            self._fail(error)  # the subscriptions of this process can't be sent to another
        except Exception as error:  # noqa: BLE001 - as in `_try_lock`
            self._detach()
            self._try_later(_typed_error(error), ElectionEvent.ROLE_FAILED)

    def _note_missing_owner(self) -> None:
        now = asyncio.get_running_loop().time()
        if not isinstance(self.join_error, NoOwner):
            self.join_error, self._missing_due = NoOwner(), now + MISSING_AFTER
        elif now >= self._missing_due:
            self._missing_due = math.inf  # once
            self._emit(OwnerMissing(self.join_error))

    async def _serve(self) -> None:
        lock = self._lock.held
        if lock is None:
            return
        owner: Owner | None = None
        is_taken = False
        try:
            await lock.predecessor_gone()
            owner = self._make_owner(lock, self._reserve)
            self.role = owner  # a forked child finds its sockets there
            owner.start()
            is_taken = True
            self._take_role(owner)
        except (Exception, asyncio.CancelledError) as error:
            self.role = self._lock.held = None
            if owner is not None:
                await self._end_owner(owner)
            lock.release()
            if isinstance(error, asyncio.CancelledError):
                raise
            if is_taken:
                self._emit(RoleLost(in_order=False))
            self._on_step_failed(_typed_error(error))

    async def _hand_over(self) -> None:
        owner = self.role
        try:
            if isinstance(owner, Owner):
                in_order = await self._end_owner(owner)
                self.role = None
                self._lock.release()
                self._emit(RoleLost(in_order=in_order))
        finally:
            self.handle_event(ElectionEvent.RELEASED)

    async def _end_owner(self, owner: Owner) -> bool:
        """Hand over; returns False if that failed, so that the connection was reset."""
        try:
            return await owner.hand_over()
        except Exception as error:  # noqa: BLE001 - no memory, or a bug: the lock is released all the same
            _log.error("handing the connection over failed: it is reset", exc_info=error)
            owner.break_off()
            return False

    def _take_role(self, role: Role) -> None:
        self.role = role
        self.join_error = None
        self._lock.had_role = True
        self._emit(RoleTaken(role))
        self._failures = 0
        self._waiters.resolve(role)

    def _detach(self) -> None:
        role, self.role = self.role, None
        if isinstance(role, Follower):
            role.leave()
            self._emit(RoleLost(in_order=False))

    def _on_step_failed(self, error: OnesocketError) -> None:
        """Try again later, unless the error is fatal or the policy exhausted."""
        if self._election.phase is ElectionPhase.FOLLOWING:
            return  # a silent owner's lock is tried again with the next heartbeat
        self._try_later(error)

    def _try_later(self, error: OnesocketError, event: ElectionEvent = ElectionEvent.ATTEMPT_FAILED) -> None:
        self._failures += 1
        delay = None if isinstance(error, _FATAL_ERRORS) else self._retry_delay(error, self._failures)
        if delay is None:
            self._fail(error)
            return
        self.join_error = error
        self._lock.release()
        self._waiters.reject(error)
        self.handle_event(event, delay)

    def _fail(self, error: OnesocketError) -> None:
        self._failures = 0
        self.handle_event(ElectionEvent.LEAVE)
        self._detach()
        self._lock.release()
        self._waiters.reject(error)
        self._emit(JoinFailed(error))


def _typed_error(error: Exception) -> OnesocketError:
    """Convert the error of a failed step (no memory, a file system, a protocol) to a typed one."""
    if isinstance(error, OnesocketError):
        return error
    text = "the connection can't be shared"
    if isinstance(error, OSError):
        return translate_os_error(error, text)
    if isinstance(error, MemoryError):
        return OutOfResources(f"{text}: there is no memory for it")
    return OpenTimeout(f"{text}: {type(error).__name__}: {error}")
