"""Performs the election: the lock, the socket, and the present role of this process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Protocol

from ...errors import ClientClosed, OnesocketError, OpenTimeout
from .._errors import OptionConflict
from .._host_options import HostOptions
from ._descriptor_reserve import DescriptorReserve
from ._election import Election, ElectionAction, ElectionEvent, ElectionPhase, ElectionSettings
from ._errors import (
    ForeignUser,
    NoRuntimeDirectory,
    OwnerSilent,
    TokenMismatch,
    VersionMismatch,
    WireError,
    translate_os_error,
)
from ._follower import Follower
from ._owner import Owner
from ._owner_lock import OwnerLock, OwnerRecord, ownership_id_of, process_start_time
from ._role import Role
from ._runtime_paths import RuntimePaths

_FATAL_ERRORS: Final = (TokenMismatch, ForeignUser, VersionMismatch, OptionConflict)
"""Errors that keep a process out until somebody changes something. All others may be over in a moment."""


class MembershipEvents(Protocol):
    """Callbacks of a membership."""

    def make_owner(self, lock: OwnerLock, reserve: DescriptorReserve) -> Owner:
        """An owner that begins with this lock."""
        ...

    def make_follower(self) -> Follower:
        """A follower that isn't attached yet."""
        ...

    def on_role_taken(self, role: Role) -> None:
        """We can use the connection."""

    def on_role_gone(self, *, in_order: bool) -> None:
        """We can't any more; another role follows. `in_order`: nothing was sent of what got no result."""

    def on_attempt_failed(self, error: OnesocketError, failures: int) -> float | None:
        """The `failures`-th step in a row failed. Returns the seconds until the next try; None: there is none."""
        ...

    def on_fatal(self, error: OnesocketError) -> None:
        """Joining failed permanently: no further attempt is made until `have_role` is called again."""


class Membership:
    """The shell around one `Election`. It decides nothing."""

    def __init__(self, place: RuntimePaths, options: HostOptions, events: MembershipEvents) -> None:
        self._paths = place
        self._options = options
        self._events = events
        self._election = Election(
            ElectionSettings(options.heartbeat, options.stopped_after, options.attach_timeout, options.takes_over)
        )
        self.role: Role | None = None
        self.join_error: OnesocketError | None = None
        """Why there's no role yet."""
        self._reserve = DescriptorReserve()
        self._attaching: Follower | None = None
        self._lock: OwnerLock | None = None
        self._seen: int | None = None
        """The tenure of the owner that we attach to."""
        self._last: OwnerRecord | None = None
        """Record of the owner that we attach to, for when it ends and its lock file is gone."""
        self._was_in = False
        self._failures = 0
        """Steps that failed in a row."""
        self._work: asyncio.Task[None] | None = None
        self._waiters: list[asyncio.Future[Role]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._heard = 0.0
        """The last sign of life that the election knows of."""

    def __repr__(self) -> str:
        silent = " silent owner" if self._election.is_owner_silent else ""
        return f"<Membership {self._election.phase.value}{silent}>"

    @property
    def usable_role(self) -> Role | None:
        """The role, if it isn't just ending."""
        return self.role if self._election.phase in (ElectionPhase.OWNING, ElectionPhase.FOLLOWING) else None

    def begin(self) -> None:
        """Keep the descriptors that a fail-over takes."""
        self._reserve.fill()

    async def acquire_role(self) -> Role:
        """Get in, and wait for that. Raises why there's no getting in."""
        role = self.usable_role
        if role is not None:
            return role
        future: asyncio.Future[Role] = asyncio.get_running_loop().create_future()
        self._waiters.append(future)
        self.handle_event(ElectionEvent.JOIN)
        try:
            return await future
        finally:
            if future in self._waiters:
                self._waiters.remove(future)

    def on_owner_lost(self, role: Role, *, in_order: bool) -> None:
        """Our owner is gone."""
        if role is self.role:
            self.role = None
            if in_order:
                self._last = None  # the process may live on; its connection is closed
            self._reserve.release()  # taking its place takes descriptors, and the program may have none left
            self._events.on_role_gone(in_order=in_order)
            self.handle_event(ElectionEvent.OWNER_LOST)

    def descriptors(self) -> Iterable[int]:
        """The sockets."""
        for part in (self.role, self._attaching):
            if part is not None:
                yield from part.descriptors()

    def file_descriptors(self) -> Iterable[int]:
        """The sockets, and after them the lock: it's held for as long as any socket is."""
        yield from self.descriptors()
        if self._lock is not None:
            yield from self._lock.descriptors()

    async def aclose(self, drain: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> None:
        """Leave, in order. `drain`: what a follower waits for first."""
        self._election.handle(ElectionEvent.LEAVE, asyncio.get_running_loop().time())
        if self._alarm is not None:
            self._alarm.cancel()
        self._reject(ClientClosed())
        work = self._work
        if work is not None and not work.done():
            if not isinstance(self.role, Owner):
                work.cancel()
            await asyncio.wait([work], timeout=timeout)
        role = self.role
        if isinstance(role, Owner):
            await role.hand_over()
        elif isinstance(role, Follower):
            await drain()
            role.leave()
        self.role = None
        self._release()
        self._reserve.release()

    # --- the election -----------------------------------------------------------------------------------------------

    def handle_event(self, happened: ElectionEvent, delay: float = 0.0) -> None:
        """Something happened."""
        loop = asyncio.get_running_loop()
        for do in self._election.handle(happened, loop.time(), random.random(), delay=delay):
            self._perform(do)
        self._set_alarm()

    def _tick(self) -> None:
        # Whether our owner is alive is only asked here: its signs of life come with every read.
        heard = self.role.heard_at if isinstance(self.role, Follower) else 0.0
        if heard > self._heard:
            self._heard = heard
            self.join_error = None
            self._election.handle(ElectionEvent.HEARTBEAT, heard)
            self._reserve.fill()
        self.handle_event(ElectionEvent.TICK)

    def _perform(self, do: ElectionAction) -> None:
        match do:
            case ElectionAction.TRY_LOCK:
                self._try_lock()
            case ElectionAction.TAKE_OVER:
                self._take_over()
            case ElectionAction.ATTACH:
                self._begin(self._attach())
            case ElectionAction.SERVE:
                self._begin(self._serve())
            case ElectionAction.HAND_OVER:
                self._begin(self._yield())
            case ElectionAction.DETACH:
                role, self.role = self.role, None
                if isinstance(role, Follower):
                    role.leave()
                    self._events.on_role_gone(in_order=False)
            case ElectionAction.REQUEST_STEP_DOWN:
                if isinstance(self.role, Follower):
                    self.join_error = OwnerSilent.of(self.role.peer_pid)
                    self.role.request_step_down()
                    self.role.flush()

    def _try_lock(self) -> None:
        try:
            self._paths = self._paths.ensure(again=self._was_in)  # somebody may have cleaned up
            lock = OwnerLock.acquire(self._paths, self._keep)
        except OnesocketError as error:
            if self._paths.is_being_restored(error):
                self._later(ElectionEvent.LOCK_BUSY)
            else:
                self._on_attempt_failed(error)
            return
        if lock is not None:
            if lock.predecessor is None:
                lock.predecessor = self._last
            self._later(ElectionEvent.LOCK_ACQUIRED)
            return
        now = ownership_id_of(self._paths.lock)
        if self._election.phase is ElectionPhase.FOLLOWING:
            if now and now != self._seen:
                self._later(ElectionEvent.OWNER_LOST)  # another took over from our silent owner
            return
        self._seen = now
        self._later(ElectionEvent.LOCK_BUSY)

    def _take_over(self) -> None:
        try:
            lock = OwnerLock.take_over(self._paths, self._seen, self._keep)
        except OSError as error:
            self._on_attempt_failed(translate_os_error(error, "the lock of a stopped owner can't be replaced"))
            return
        except OnesocketError as error:
            self._on_attempt_failed(error)
            return
        self._later(ElectionEvent.LOCK_BUSY if lock is None else ElectionEvent.LOCK_ACQUIRED)

    def _keep(self, lock: OwnerLock) -> None:
        self._lock = lock

    def _later(self, happened: ElectionEvent) -> None:
        # Not now: the election is in the middle of something else.
        asyncio.get_running_loop().call_soon(self.handle_event, happened)

    def _begin(self, work: Any) -> None:
        self._work = asyncio.get_running_loop().create_task(work)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        at = self._election.wake_at
        self._alarm = None if at is None else asyncio.get_running_loop().call_at(at, self._tick)

    async def _attach(self) -> None:
        follower = self._attaching = self._events.make_follower()
        try:
            await follower.attach(self._paths, self._options.attach_timeout)
        except (OSError, NoRuntimeDirectory):
            self.handle_event(ElectionEvent.ATTACH_FAILED)
            return
        except OwnerSilent as error:
            self.join_error = error
            self.handle_event(ElectionEvent.ATTACH_TIMED_OUT)
            return
        except WireError:
            self.handle_event(ElectionEvent.ATTACH_FAILED)
            return
        except OnesocketError as error:
            self._on_attempt_failed(error)
            return
        finally:
            self._attaching = None
        welcome = follower.welcome
        if welcome is None or follower.is_over:
            self.handle_event(ElectionEvent.ATTACH_FAILED)
            return
        self._seen = welcome.ownership_id
        self._last = OwnerRecord(follower.peer_pid, process_start_time(follower.peer_pid), welcome.status.epoch)
        self._election.owner_heartbeat = welcome.heartbeat
        self.handle_event(ElectionEvent.ATTACHED)
        try:
            self._take_role(follower)
        except OnesocketError as error:
            self._fail(error)  # what this process wants can't be told to another

    async def _serve(self) -> None:
        lock = self._lock
        if lock is None:
            return
        owner: Owner | None = None
        try:
            await lock.predecessor_gone()
            owner = self._events.make_owner(lock, self._reserve)
            self.role = owner  # a forked child finds its sockets there
            owner.start()
        except asyncio.CancelledError:
            self.role = None
            await self._drop(owner, lock)
            raise
        except Exception as error:  # noqa: BLE001 - the disk is full, the directory gone, ...
            self.role = None
            await self._drop(owner, lock)
            self._on_attempt_failed(_typed_error(error))
            return
        self._take_role(owner)

    async def _drop(self, owner: Owner | None, lock: OwnerLock) -> None:
        self._lock = None
        if owner is not None:
            await owner.hand_over()
        lock.release()

    async def _yield(self) -> None:
        owner = self.role
        if isinstance(owner, Owner):
            await owner.hand_over()
            self.role = None
            self._lock = None
            self._events.on_role_gone(in_order=True)
        self.handle_event(ElectionEvent.RELEASED)

    def _take_role(self, role: Role) -> None:
        self.role = role
        self.join_error = None
        self._was_in = True
        self._failures = 0
        self._events.on_role_taken(role)
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_result(role)

    def _on_attempt_failed(self, error: OnesocketError) -> None:
        """A step failed. Only what somebody has to change is final; for the rest there's another try."""
        if self._election.phase is ElectionPhase.FOLLOWING:
            return  # whether its silent owner is dead, it asks again with the next heartbeat
        self._failures += 1
        delay = None if isinstance(error, _FATAL_ERRORS) else self._events.on_attempt_failed(error, self._failures)
        if delay is None:
            self._fail(error)
            return
        self.join_error = error
        self._release()
        self._reject(error)
        self.handle_event(ElectionEvent.ATTEMPT_FAILED, delay)

    def _fail(self, error: OnesocketError) -> None:
        self._failures = 0
        self.handle_event(ElectionEvent.LEAVE)
        role, self.role = self.role, None
        if isinstance(role, Follower):
            role.leave()
            self._events.on_role_gone(in_order=False)
        self._release()
        self._reject(error)
        self._events.on_fatal(error)

    def _reject(self, error: OnesocketError) -> None:
        waiters, self._waiters = self._waiters, []
        for future in waiters:
            if not future.done():
                future.set_exception(error.copy())

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()


def _typed_error(error: Exception) -> OnesocketError:
    """Convert the error of failed serving (an unusual file system, a protocol of the program's) to a typed one."""
    if isinstance(error, OnesocketError):
        return error
    text = f"the connection can't be shared: {type(error).__name__}"
    return translate_os_error(error, text) if isinstance(error, OSError) else OpenTimeout(f"{text}: {error}")
